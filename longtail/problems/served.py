"""What the leading model gives where it is served, measured on test: for its card."""

from collections.abc import Callable
from pathlib import Path

from longtail.data.dataset import Task
from longtail.data.splits import Split
from longtail.metrics.calibration import calibration
from longtail.metrics.scores import Shots
from longtail.network.snapshot import read_blueprint
from longtail.problems.classification import Judged
from longtail.problems.operating_point import Setting
from longtail.report.served import ServedModel, ServedTask
from longtail.rules.familiarity import Familiarity
from longtail.rules.probabilities import Probabilities


def served_model(
    index: Path, judged: Callable[[Task], Judged], tasks: list[Task], split: Split, shots: Shots
) -> ServedModel:
    """The model of an index directory; `judged` gives it on one of the tasks."""
    about = read_blueprint(index / "snapshot")
    return ServedModel(
        about.features,
        about.backbone,
        about.embedding,
        about.image_shape,
        about.preprocessing,
        {task.name: _served_task(index, judged(task), task, split, shots) for task in tasks},
    )


def _served_task(index: Path, model: Judged, task: Task, split: Split, shots: Shots) -> ServedTask:
    setting, how = Setting.of(task, split, shots), Probabilities.read(index, task.name, model.rule)
    familiarity = Familiarity.load(index / "rules", task.name)
    scores = setting.test.scores(model, model.rule)
    measured = calibration(lambda: ((how.logits(some), truth) for some, truth in scores()), 1.0, setting.groups)
    return ServedTask(
        how.temperature, how.uniform, measured, familiarity.distance, familiarity.false_alarms, familiarity.samples
    )
