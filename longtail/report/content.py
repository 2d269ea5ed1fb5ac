"""What a report shows, as plain data. Every part that may be None or empty is then left out with a sentence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from longtail.data.imbalance import ImbalanceMeasures
from longtail.metrics.classification import Metrics
from longtail.metrics.scores import PUBLISHED, Shots
from longtail.metrics.significance import Difference
from longtail.report.data_quality import Copies, Doubts, Fineness
from longtail.report.explanation import EmbeddingMap, KSearch, Mistake
from longtail.report.operating_point import OperatingPoint

# Under it stands the mean over the tasks; no task can be called so.
MEAN = "mean of tasks"


@dataclass(frozen=True)
class Row:
    """One way of classifying the test images: a model, answering by the rule of that key, and what it reaches.

    `own` marks the rule by which the model is reported; only such a row has a `difference` to the baseline's.
    """

    model: str
    rule: str
    metrics: Metrics
    own: bool = False
    difference: Difference | None = None

    @property
    def key(self) -> str:
        """What it is called in files and in MLflow."""
        return f"{self.model}.{self.rule}"


@dataclass(frozen=True)
class Standing:
    """What a model reaches by its own rule: its mean per-class accuracy in [0, 1], over several tasks their mean, with
    the 95 % interval, and the difference to the baseline; None is absent. `rule` is the key of that rule. `reference`:
    of a baseline that others are compared with by another rule than its own, what it reaches by that.
    """

    model: str
    accuracy: float | None
    interval: tuple[float, float] | None = None
    difference: Difference | None = None
    rule: str | None = None
    reference: float | None = None


@dataclass(frozen=True)
class TaskReport:
    """One task: its data, the models on its test set, and what explains them.

    `counts` maps each subset to the samples of each of `classes`; `imbalance` measures the training subset. The rows of
    the model that leads come first. `baseline` names the model that the others are compared with, `reference` the rule
    by which, where that is not its own, and `reference_accuracy` what it reaches by that. `challenger` names the model
    that the verdict sets against a baseline that leads.
    Raises ValueError if no row is a model's own, or a subset has not one count a class.
    """

    name: str
    classes: Sequence[str]
    counts: Mapping[str, Sequence[int]]
    imbalance: ImbalanceMeasures
    rows: Sequence[Row]
    baseline: str
    background: str | None = None
    shots: Shots = PUBLISHED
    embedding: EmbeddingMap | None = None
    k_search: KSearch | None = None
    operating: OperatingPoint | None = None
    mistakes: Sequence[Mistake] = ()
    fineness: Fineness | None = None
    doubts: Doubts | None = None
    reference: str | None = None
    reference_accuracy: float | None = None
    challenger: str | None = None

    def __post_init__(self) -> None:
        if not self.own_rows or self.baseline not in [row.model for row in self.own_rows]:
            raise ValueError(
                f"no row of task {self.name!r} is a model's own, or none the baseline's: {self.baseline!r}"
            )
        for subset, counts in self.counts.items():
            if len(counts) != len(self.classes):
                raise ValueError(
                    f"{len(counts)} counts of {subset!r} for the {len(self.classes)} classes of {self.name!r}"
                )

    @property
    def by_size(self) -> list[int]:
        """The class codes, most training images first."""
        train = self.counts.get("train", self.imbalance.counts)
        return sorted(range(len(self.classes)), key=lambda code: (-train[code], code))

    @property
    def own_rows(self) -> list[Row]:
        """Each model by its own rule."""
        return [row for row in self.rows if row.own]

    @property
    def baseline_title(self) -> str:
        """The baseline, as headings of differences to it have it."""
        return f"{self.baseline}, adjusted" if self.reference else self.baseline

    def reference_of(self, row: Row) -> float | None:
        """What the baseline's row reaches by the rule by which others are compared with it, where that is another."""
        return self.reference_accuracy if row.model == self.baseline else None

    def standing(self, row: Row) -> Standing:
        """How the row's model stands in this task."""
        return Standing(
            row.model,
            row.metrics.mean_class_accuracy,
            row.metrics.intervals.get("mean_class_accuracy"),
            row.difference,
            row.rule,
            self.reference_of(row),
        )

    @property
    def main(self) -> Row:
        """The row that leads, and that the figures show."""
        return self.own_rows[0]

    @property
    def rival(self) -> Row | None:
        """The row of the training that the leading one is set against: the baseline's or, where that one leads itself,
        the challenger's; None where there is one model alone.
        """
        others = self.own_rows[1:]
        named = self.challenger if self.main.model == self.baseline else self.baseline
        return next((row for row in others if row.model == named), others[0] if others else None)

    @property
    def beside(self) -> Row | None:
        """The row drawn beside the main one: the rival's, or else another rule of the same model."""
        return self.rival or next((row for row in self.rows if row.rule == "sample_wise" and not row.own), None)


@dataclass(frozen=True)
class Round:
    """One round; round 0 is what the rounds follow, or a training without rounds.

    `loss` and each of its `parts` (by the name to show) are given at `iterations`, counted from the round's own start;
    all are empty where nothing was trained. `validation` holds mean per-class accuracies in [0, 1] by task.
    The `selected` round gave the model that the report is about.
    """

    number: int
    iterations: Sequence[int] = ()
    loss: Sequence[float] = ()
    parts: Mapping[str, Sequence[float]] = field(default_factory=dict)
    validation: Mapping[str, float] = field(default_factory=dict)
    selected: bool = False


@dataclass(frozen=True)
class ModelReport:
    """A model: its name in params.yaml, the title of its method, a sentence on how it came about, the key of the rule
    by which its rounds are scored on validation, and the rounds.

    `after` is the nearest of the report's other models that it was trained from, if any.
    """

    name: str
    title: str
    steps: str
    rule: str
    rounds: Sequence[Round] = ()
    after: str | None = None


@dataclass(frozen=True)
class Report:
    """A run: which models on which data, with which seed, and what came out. The first model leads.

    The data set has `images`, of which each subset holds what `samples` says. `means` are the models' standings over
    several tasks; of one they are its rows. `parameters` may be nested; `notes` are sentences for the reader. No time
    of creation: the same run gives the same bytes.
    """

    title: str
    dataset: str
    images: int
    seed: int
    tasks: Sequence[TaskReport]
    models: Sequence[ModelReport]
    means: Sequence[Standing] = ()
    samples: Mapping[str, int] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    copies: Copies | None = None

    @property
    def used(self) -> int:
        """How many of the images are in a subset."""
        return sum(self.samples.values()) or self.images

    @property
    def resampled(self) -> bool:
        """Whether anything has an interval: with `evaluate.resamples` of 0, or without a test image, nothing has."""
        return any(row.metrics.intervals for task in self.tasks for row in task.rows)

    @property
    def standings(self) -> list[Standing]:
        """How the models stand to each other, over all tasks."""
        if self.means or not self.tasks:
            return list(self.means)
        return [self.tasks[0].standing(row) for row in self.tasks[0].own_rows]

    @property
    def challenger(self) -> Standing | None:
        """Where the baseline leads, the best of the others; None where it does not, or is alone."""
        known = [one for one in self.standings if one.accuracy is not None]
        names = [one.model for one in known]
        if not known or self.tasks[0].baseline in names[1:]:
            return None
        return max(known[1:], key=lambda one: one.accuracy or 0.0, default=None)
