"""The definitions of the metrics, from class counts: vectorised, so that bootstrap resamples use the very same code.

Inside this module NaN means "does not exist"; `longtail.metrics.classification` turns it into None.
"""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field, model_validator

from longtail.data.imbalance import minority_classes

Codes = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

# The single numbers of a task, all in [0, 1], in the order in which they are shown.
SCALARS = (
    "mean_class_accuracy",
    "accuracy",
    "average_f1",
    "minority_f1",
    "many_accuracy",
    "medium_accuracy",
    "few_accuracy",
    "geometric_mean",
    "harmonic_mean",
)
# Those of them that get bootstrap intervals.
BOOTSTRAPPED = ("mean_class_accuracy", "accuracy", "average_f1", "minority_f1", "geometric_mean")


class Shots(BaseModel, frozen=True, extra="forbid"):
    """A class is many-shot above `many` training images, few-shot below `few`, and medium-shot between.

    The defaults are the published ones (Liu et al., Large-scale long-tailed recognition, CVPR 2019).
    """

    many: int = Field(100, ge=1, description="a class of more training images than this is many-shot")
    few: int = Field(20, ge=1, description="a class of fewer training images than this is few-shot")

    @model_validator(mode="after")
    def _groups_do_not_overlap(self) -> Self:
        if self.few > self.many:
            raise ValueError(
                f"few: {self.few} is above many: {self.many}, so a class would be in both; set few to at most many"
            )
        return self


PUBLISHED = Shots()


class ClassCounts(NamedTuple):
    """What every metric here is made of: int64 counts, … × K (leading axes: bootstrap resamples)."""

    correct: Codes
    support: Codes
    predicted: Codes


def class_sets(train_counts: Sequence[int], foreground: Mask, shots: Shots) -> dict[str, Mask]:
    """The classes over which minority F1 and the many/medium/few-shot accuracies are taken, as masks of K.

    The background class belongs to none, and is no class in ζ < 1/K either.
    """
    counts = np.asarray(train_counts, dtype=np.int64)
    inside = np.flatnonzero(foreground)
    minority = np.zeros(len(counts), dtype=np.bool_)
    minority[inside[minority_classes(counts[inside].tolist())]] = True
    return {
        "minority": minority,
        "many": foreground & (counts > shots.many),
        "medium": foreground & (counts >= shots.few) & (counts <= shots.many),
        "few": foreground & (counts < shots.few),
    }


def scores(counts: ClassCounts, sets: dict[str, Mask]) -> dict[str, Floats]:
    """Each of SCALARS, over the last axis of the counts; NaN where it does not exist."""
    present = counts.support > 0
    recall, _, f1 = class_scores(counts)
    with np.errstate(divide="ignore"):  # log 0 = −∞ and 1 / 0 = ∞ are meant: one class at 0 makes both means 0
        log_recall, reciprocal = np.log(recall), 1 / recall
    return {
        "mean_class_accuracy": _mean(recall, present),
        "accuracy": _ratio(counts.correct.sum(-1), counts.support.sum(-1)),
        "average_f1": _mean(f1, present),
        "minority_f1": _mean(f1, present & sets["minority"]),
        "many_accuracy": _mean(recall, present & sets["many"]),
        "medium_accuracy": _mean(recall, present & sets["medium"]),
        "few_accuracy": _mean(recall, present & sets["few"]),
        # In log space: the plain product of many small recalls underflows to 0.
        "geometric_mean": np.exp(_mean(log_recall, present)),
        "harmonic_mean": 1 / _mean(reciprocal, present),
    }


def class_scores(counts: ClassCounts) -> tuple[Floats, Floats, Floats]:
    """Recall, precision and F1 of each class, … × K; NaN for a class without samples."""
    absent = counts.support == 0
    precision = np.where(absent, np.nan, counts.correct / np.maximum(counts.predicted, 1))
    f1 = np.where(absent, np.nan, _ratio(2 * counts.correct, counts.support + counts.predicted))
    return _ratio(counts.correct, counts.support), precision, f1


def _ratio(part: Codes, whole: Codes) -> Floats:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def _mean(values: Floats, where: Mask) -> Floats:
    number = where.sum(-1)
    return np.where(number > 0, np.sum(values, axis=-1, where=where) / np.maximum(number, 1), np.nan)
