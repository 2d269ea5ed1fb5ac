"""The page itself: figures, tables and images put into the template."""

import base64
import io
import re
from typing import Any

import numpy as np
import numpy.typing as npt
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from longtail.metrics.conformal import ALPHA, FEWEST
from longtail.report.class_figures import distribution, per_class
from longtail.report.confusion_figure import MOST_WITH_COUNTS, confusion
from longtail.report.content import ModelReport, Report, TaskReport
from longtail.report.figures import style
from longtail.report.limits import MANY_CLASSES, MANY_TASKS, WORST, in_full
from longtail.report.map_figure import LONGEST, class_colours, class_labels, embedding_map
from longtail.report.method_figures import gains, intervals, k_curves
from longtail.report.names import printable, short
from longtail.report.operating_point import OperatingPoint
from longtail.report.operating_tables import calibration_table, class_set_table, prior_table, set_table
from longtail.report.reliability_figure import reliability
from longtail.report.round_figures import training_curves, validation_curve
from longtail.report.tables import comparison_rows, metric_table, parameter_sections, percent, round_rows
from longtail.report.task_tables import compared_rows, compared_title, task_rows
from longtail.report.titles import row_title, rule_title
from longtail.report.verdict import remarks, verdict


def environment() -> Environment:
    """What pages are rendered by: every name is escaped."""
    made = Environment(
        loader=PackageLoader("longtail.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
    )
    made.filters |= {"percent": percent, "pieces": pieces, "png": png}
    return made


def page(report: Report) -> str:
    """Render `report`."""
    with style():
        models = [model_parts(model) for model in report.models]
        tasks = [task_parts(report.tasks[place], report) for place in in_full(report.tasks)]
        task_gains = gains(report.tasks)
    return (
        environment()
        .get_template("report.html")
        .render(
            report=report,
            models=models,
            tasks=tasks,
            verdict=verdict(report),
            notes=[*report.notes, *remarks(report)],
            many=len(report.tasks) > MANY_TASKS,
            all_tasks=task_rows(report.tasks, report.means),
            gains=task_gains,
            gaining=[compared_title(row, first) for first in report.tasks[:1] for row in compared_rows(first) or ()],
            parameters=parameter_sections(report.parameters),
        )
    )


def model_parts(model: ModelReport) -> dict[str, Any]:
    """What the template needs of one model beside the model itself."""
    return {
        "model": model,
        "rule": rule_title(model.rule),
        "training": training_curves(model.rounds),
        "validation": validation_curve(model.rounds),
        "table": round_rows(model.rounds),
    }


def task_parts(task: TaskReport, report: Report) -> dict[str, Any]:
    """What the template needs of one task beside the task itself."""
    metrics = task.main.metrics
    rows = {row.name: row for row in metrics.per_class}
    names = [task.classes[code] for code in task.by_size]
    many = len(task.classes) > MANY_CLASSES
    return {
        "task": task,
        "main": row_title(task.main, task),
        "beside": row_title(task.beside, task) if task.beside else None,
        "comparison": comparison_rows(task, report.models),
        "distribution": distribution(task),
        "table": metric_table(task),
        "intervals": intervals(task),
        "confusion": confusion(task) if metrics.samples else None,
        "grouped": many,
        "counted": len(rows) <= MOST_WITH_COUNTS,
        "confused": metrics.most_confused(WORST) if len(rows) > MOST_WITH_COUNTS else [],
        "wrong": sum(count for true, predicted, count in metrics.confusion if true != predicted),
        "minority": task.imbalance.minority[:WORST],
        "per_class": per_class(task) if rows else None,
        "rows": metrics.worst_classes(WORST) if many else [rows[name] for name in names if name in rows],
        "map": embedding_map(task),
        "legend": map_legend(task),
        "operating": operating_parts(task),
        "k_curves": k_curves(task.k_search) if task.k_search else None,
    }


def operating_parts(task: TaskReport) -> dict[str, Any]:
    """What the template needs of a task's operating point; what does not exist is None."""
    operating = task.operating or OperatingPoint()
    inside = [count for name, count in zip(task.classes, operating.validation, strict=False) if name != task.background]
    least = min(inside, default=0)
    return {
        "reliability": reliability(task),
        "calibration": calibration_table(task, operating),
        "validation": sum(inside),
        "ratio": f"{max(inside) / least:.3g}" if least else None,
        "priors": prior_table(task, operating),
        "sets": set_table(task, operating),
        "class_sets": class_set_table(task, operating),
        "level": f"{100 * (1 - ALPHA):g}",
        "fewest": FEWEST,
        "first": next(iter(operating.sets), None),
    }


def map_legend(task: TaskReport) -> list[tuple[str, str, str]]:
    """(colour, number on the map, class name) of each class of the map; no number where the name stands there."""
    colours = class_colours(task)
    return [
        (colour, "" if label == short(task.classes[code], LONGEST) else label, task.classes[code])
        for (code, colour), label in zip(colours.items(), class_labels(task), strict=True)
    ]


def png(image: npt.NDArray[np.uint8]) -> str:
    """A uint8 image, H × W × C with C = 1 or 3, as a data address."""
    buffer = io.BytesIO()
    Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(buffer, format="png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def pieces(text: str) -> list[str]:
    """The text in pieces between which a line may break: "section.", "long_", "name"."""
    return re.split(r"(?<=[._])(?=[^\W\d_])", text)


def _printable(value: Any) -> Any:
    # Only plain text: what the template engine has marked as safe must stay marked.
    return printable(value) if type(value) is str else value
