"""Whether one classifier is better than another: a paired bootstrap over seeds and, within each, over groups."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from longtail.bootstrap import percentile_interval

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Answers:
    """What two classifiers say of one seed's test samples: class codes (n,), −1 in `truth` for a missing label.

    `groups` (n,): samples of one group are drawn together; without them every sample is drawn for itself.
    """

    truth: Ints
    first: Ints
    second: Ints
    groups: npt.NDArray[np.generic] | None = None


@dataclass(frozen=True)
class Difference:
    """The first classifier's mean per-class accuracy less the second's: mean over the seeds, 95 % interval, p-value."""

    mean: float
    low: float
    high: float
    p: float

    @property
    def significant(self) -> bool:
        """Whether the two-sided p-value is below 0.05."""
        return self.p < 0.05


def paired_difference(seeds: list[Answers], *, resamples: int = 4000, seed: int = 0) -> Difference:
    """Compare two classifiers trained with the same seeds and tested on the same samples.

    A resample draws as many seeds as there are, with replacement, and for each the groups of its test subset. The
    p-value is two-sided: twice the smaller share of resamples on either side of 0, at most 1, never below
    2 / (resamples + 1). With few seeds the interval is rough; with one it knows nothing of the spread over seeds.
    """
    rng = np.random.default_rng(seed)
    by_seed = [_resampled(answers, resamples * len(seeds), rng) for answers in seeds]
    chosen = rng.integers(len(seeds), size=(resamples, len(seeds)))
    columns = np.arange(resamples * len(seeds)).reshape(resamples, len(seeds))
    means = np.stack(by_seed)[chosen, columns].mean(axis=1)
    at_most, at_least = (1 + np.count_nonzero(means <= 0)), (1 + np.count_nonzero(means >= 0))
    low, high = percentile_interval(means) or (0.0, 0.0)
    mean = float(np.mean([_observed(answers) for answers in seeds]))
    return Difference(mean, low, high, min(1.0, 2 * min(at_most, at_least) / (resamples + 1)))


def _gains(answers: Answers) -> tuple[Ints, Ints]:
    """Of the samples of known class: the class, and 1 where the first alone is right, −1 where the second alone is."""
    known = answers.truth >= 0
    truth = answers.truth[known]
    return truth, (answers.first[known] == truth).astype(np.int64) - (answers.second[known] == truth)


def _observed(answers: Answers) -> float:
    """The difference itself."""
    truth, gain = _gains(answers)
    return float(_difference(np.bincount(truth, gain), np.bincount(truth)))


def _resampled(answers: Answers, resamples: int, rng: np.random.Generator) -> Floats:
    """The difference in each of the resamples of one seed's groups."""
    truth, gain = _gains(answers)
    groups = np.arange(len(truth))
    if answers.groups is not None:
        groups = np.unique(answers.groups[answers.truth >= 0], return_inverse=True)[1]
    classes = int(truth.max()) + 1
    table = np.zeros((int(groups.max()) + 1, 2 * classes), np.int64)
    np.add.at(table, (groups, truth), gain)
    np.add.at(table, (groups, classes + truth), 1)
    # Groups that are alike are drawn together: single samples are of three kinds a class.
    kinds, counts = np.unique(table, axis=0, return_counts=True)
    sums = rng.multinomial(counts.sum(), counts / counts.sum(), size=resamples) @ kinds
    return _difference(sums[:, :classes], sums[:, classes:])


def _difference(gains: npt.NDArray[Any], support: Ints) -> Floats:
    """The mean of the classes' gains over the classes present, over the last axis: (…, K) to (…)."""
    present = support > 0
    rates = np.where(present, gains / np.maximum(support, 1), 0.0)
    mean: Floats = rates.sum(-1) / np.maximum(present.sum(-1), 1)
    return mean
