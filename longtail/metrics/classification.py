"""Metrics of one classification task on arrays, class by class, with intervals that respect groups.

Left out of every metric: samples whose label is missing or the background class. Whatever does not exist (a class
without samples, an empty shot group) is None and never 0 or NaN.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from longtail.metrics.bootstrap import percentile_interval, resampled_sums
from longtail.metrics.scores import (
    BOOTSTRAPPED,
    PUBLISHED,
    SCALARS,
    ClassCounts,
    Codes,
    Mask,
    Shots,
    class_scores,
    class_sets,
    scores,
)


class ClassMetrics(BaseModel, frozen=True, extra="forbid"):
    """One class: its number of training images, of test samples (support) and of their groups, and its scores in
    [0, 1].

    The scores are None when the class has no test sample. Precision is 0 when it has some but is never predicted.
    """

    name: str
    train_count: int
    support: int
    groups: int
    precision: float | None
    recall: float | None
    f1: float | None


class WorstClass(BaseModel, frozen=True, extra="forbid"):
    """The class of lowest recall; of several, the first in the task's order."""

    name: str
    recall: float


class Confused(BaseModel, frozen=True, extra="forbid"):
    """`count` samples of the class `true` that were predicted as another: `share` of that class, in (0, 1]."""

    true: str
    predicted: str
    count: int
    share: float


class Metrics(BaseModel, frozen=True, extra="forbid"):
    """The metrics of one method on one task, all in [0, 1]; None is absent.

    `mean_class_accuracy` is the mean recall over the classes that have test samples (class-balanced accuracy), and
    `average_f1` the mean F1 over the same. Minority classes are those with ζ < 1/K in training. Many, medium and few
    are mean recalls over the classes of that many training images. The geometric and the harmonic mean are of the same
    recalls as the mean per-class accuracy, and 0 as soon as one of them is. `confusion` holds (true, predicted, count)
    of each cell of the confusion matrix that is not 0, as codes of `classes` in ascending order; a background class has
    no true samples. `intervals` are 95 % (low, high), from resamples in which the metric exists, each over the classes
    that it holds; of one group there are none. `per_class` leaves the background class out.
    """

    classes: list[str]
    samples: int
    mean_class_accuracy: float | None
    accuracy: float | None
    average_f1: float | None
    minority_f1: float | None
    many_accuracy: float | None
    medium_accuracy: float | None
    few_accuracy: float | None
    geometric_mean: float | None
    harmonic_mean: float | None
    worst_class: WorstClass | None
    per_class: list[ClassMetrics]
    confusion: list[tuple[int, int, int]]
    intervals: dict[str, tuple[float, float]]

    def scalars(self) -> dict[str, float]:
        """What exists, flat: each metric, `worst_recall`, and `…_low`, `…_high` for each interval. No NaN."""
        flat = {name: value for name in SCALARS if (value := getattr(self, name)) is not None}
        if self.worst_class is not None:
            flat["worst_recall"] = self.worst_class.recall
        for name, (low, high) in self.intervals.items():
            flat[f"{name}_low"], flat[f"{name}_high"] = low, high
        return flat

    def most_confused(self, number: int) -> list[Confused]:
        """The pairs of classes with the most mistakes, at most so many; of equals the one of the larger share first."""
        support = {row.name: row.support for row in self.per_class}
        wrong = [
            Confused(true=name, predicted=self.classes[p], count=count, share=count / support[name])
            for y, p, count in self.confusion
            if y != p and (name := self.classes[y])
        ]
        return sorted(wrong, key=lambda pair: (-pair.count, -pair.share))[:number]

    def worst_classes(self, number: int) -> list[ClassMetrics]:
        """The classes of lowest recall, at most so many; of equals the one with more test samples first."""
        tested = [row for row in self.per_class if row.recall is not None]
        return sorted(tested, key=lambda row: (row.recall, -row.support))[:number]


def evaluate(
    labels: Codes,
    predictions: Codes,
    *,
    classes: Sequence[str],
    train_counts: Sequence[int],
    background: str | None = None,
    groups: npt.NDArray[Any] | None = None,
    resamples: int = 1000,
    seed: int = 0,
    shots: Shots = PUBLISHED,
) -> Metrics:
    """Compare `predictions` with `labels`, both codes of `classes`, of shape (n,); −1 is a missing label.

    `train_counts` are the training images of each class. `groups` (any dtype, n) are resampled for the intervals;
    without them every sample is its own group; `resamples` = 0 leaves the intervals out. `shots` says which classes
    are many-, medium- and few-shot. A prediction of the background class is wrong.
    Raises ValueError on lengths or codes that do not fit.
    """
    K = len(classes)
    foreground = np.array([name != background for name in classes], dtype=np.bool_)
    kept = _counted(labels, predictions, foreground, groups)
    if len(train_counts) != K:
        raise ValueError(f"{len(train_counts)} training counts for {K} classes")
    y, p = labels[kept], predictions[kept]
    cells, sizes = np.unique(y * K + p, return_counts=True)  # K² cells would be 800 MB of 10,000 classes
    counts = ClassCounts(*(np.bincount(codes, minlength=K) for codes in (y[y == p], y, p)))
    sets = class_sets(train_counts, foreground, shots)
    point = {name: _present(value) for name, value in scores(counts, sets).items()}
    ids = np.arange(len(y)) if groups is None else np.unique(groups[kept], return_inverse=True)[1]
    return Metrics(
        classes=list(classes),
        samples=len(y),
        **point,
        worst_class=_worst_class(counts, classes),
        per_class=_per_class(counts, _group_counts(y, ids, K), classes, train_counts, foreground),
        confusion=list(zip(*(part.tolist() for part in (cells // K, cells % K, sizes)), strict=True)),
        intervals=_intervals(y, p, ids, sets=sets, resamples=resamples, seed=seed),
    )


def _counted(labels: Codes, predictions: Codes, foreground: Mask, groups: npt.NDArray[Any] | None) -> Mask:
    K = len(foreground)
    if labels.shape != predictions.shape or labels.ndim != 1 or (groups is not None and len(groups) != len(labels)):
        raise ValueError("labels, predictions and groups must be of one length")
    if len(labels) and (labels.min() < -1 or labels.max() >= K):
        raise ValueError(f"a label is outside −1 … {K - 1}")
    kept: Mask = (labels >= 0) & np.append(foreground, False)[labels]
    if kept.any() and (predictions[kept].min() < 0 or predictions[kept].max() >= K):
        raise ValueError(f"a prediction is outside 0 … {K - 1}")
    return kept


def _intervals(
    y: Codes, p: Codes, groups: Codes, *, sets: dict[str, Mask], resamples: int, seed: int
) -> dict[str, tuple[float, float]]:
    if not groups.any() or not resamples:
        return {}
    K = len(sets["minority"])
    table = _group_table(y, p, groups, K)
    blocks = [
        scores(ClassCounts(*np.split(sums, 3, axis=1)), sets)
        for sums in resampled_sums(table, resamples=resamples, seed=seed)
    ]
    found = {name: percentile_interval(np.concatenate([block[name] for block in blocks])) for name in BOOTSTRAPPED}
    return {name: interval for name, interval in found.items() if interval is not None}


def _group_table(y: Codes, p: Codes, groups: Codes, K: int) -> Any:
    """Per group the counts (correct | support | predicted), sparse, groups × 3K: all that the intervals need."""
    from scipy.sparse import coo_array

    hit = y == p
    rows = np.concatenate([groups[hit], groups, groups])
    columns = np.concatenate([y[hit], K + y, 2 * K + p])
    shape = (int(groups.max()) + 1, 3 * K)
    return coo_array((np.ones(len(rows), dtype=np.int64), (rows, columns)), shape=shape).tocsr()


def _group_counts(y: Codes, groups: Codes, K: int) -> Codes:
    """How many groups the samples of each class belong to, (K,)."""
    number = 1 + groups.max(initial=0)
    return np.bincount(np.unique(y * number + groups) // number, minlength=K)


def _worst_class(counts: ClassCounts, classes: Sequence[str]) -> WorstClass | None:
    recall = class_scores(counts)[0]
    if not (counts.support > 0).any():
        return None
    worst = int(np.nanargmin(recall))
    return WorstClass(name=classes[worst], recall=float(recall[worst]))


def _per_class(
    counts: ClassCounts, groups: Codes, classes: Sequence[str], train_counts: Sequence[int], foreground: Mask
) -> list[ClassMetrics]:
    recall, precision, f1 = class_scores(counts)
    return [
        ClassMetrics(
            name=classes[i],
            train_count=int(train_counts[i]),
            support=int(counts.support[i]),
            groups=int(groups[i]),
            precision=_present(precision[i]),
            recall=_present(recall[i]),
            f1=_present(f1[i]),
        )
        for i in np.flatnonzero(foreground).tolist()
    ]


def _present(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None
