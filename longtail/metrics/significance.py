"""Whether one classifier is better than another: a paired bootstrap over test samples, a paired t-test over seeds."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from longtail.metrics.bootstrap import percentile_interval

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

LEVEL = 0.05  # of p-values, below which a difference is significant
FEWEST = 10  # independent samples of a class, below which the bootstrap's intervals are too narrow
BLOCK = 200  # resamples at a time: with 20,000 groups 64 MB
DENSE = 2**25  # numbers of a table that is kept whole (256 MiB)


@dataclass(frozen=True)
class Answers:
    """What two classifiers say of one seed's test samples: class codes (n,), −1 in `truth` for a missing label.

    Several tasks are one where their samples follow one another and their classes have codes of their own.
    `groups` (n,): samples of one group are drawn together, in all seeds alike; without them every sample is drawn for
    itself, as another one in every seed.
    """

    truth: Ints
    first: Ints
    second: Ints
    groups: npt.NDArray[np.generic] | None = None


@dataclass(frozen=True)
class Difference:
    """The first classifier's mean per-class accuracy less the second's: mean over the seeds, 95 % interval, p-value.

    Of one of the `seeds` alone nothing is known of others, and of one group nothing of other groups: then there is no
    interval (`low` and `high` are None), nor where nothing was resampled.
    """

    mean: float
    low: float | None
    high: float | None
    p: float
    seeds: int = 1

    @property
    def significant(self) -> bool:
        """Whether the two-sided p-value is below LEVEL."""
        return self.p < LEVEL

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval, where there is one."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    def as_json(self) -> dict[str, float | None]:
        """The same as numbers by name."""
        return asdict(self)


def joined(tasks: Sequence[Answers], classes: Sequence[int]) -> tuple[Answers, Floats]:
    """The answers of several tasks of so many classes, one after the other, the classes of each behind those before it.
    And the weights by which every task counts alike in their mean, whichever of its classes are tested.

    The groups need names.
    """
    starts = np.cumsum([0, *classes[:-1]])

    def behind(values: Iterable[Ints]) -> Ints:
        return np.concatenate([np.where(v >= 0, v + start, v) for v, start in zip(values, starts, strict=True)])

    of_each = [1 / max(1, len(np.unique(task.truth[task.truth >= 0]))) for task in tasks]
    together = Answers(
        behind(task.truth for task in tasks),
        behind(task.first for task in tasks),
        behind(task.second for task in tasks),
        np.concatenate([np.asarray(task.groups) for task in tasks]),
    )
    return together, np.repeat(of_each, classes)


def mean_accuracy(
    truth: Ints, said: Ints, groups: npt.NDArray[np.generic] | None, weights: Floats, **options: Any
) -> Difference:
    """The weighted mean per-class accuracy of one classifier with its interval: what it has before one never right."""
    return paired_difference([Answers(truth, said, np.full_like(said, -2), groups)], weights=weights, **options)


def paired_difference(
    seeds: list[Answers], *, weights: Floats | None = None, resamples: int = 4000, seed: int = 0
) -> Difference:
    """Compare two classifiers trained with the same seeds and tested on the same samples.

    `weights` (K,): what each class counts in the mean, of several tasks 1 / classes of its task; by default all count
    alike.
    Two things are uncertain. Other test samples: a bootstrap draws groups with replacement, and its p-value is twice
    the smaller share of resamples on either side of 0. Other seeds: a paired t-test over the seeds' differences. A
    difference has to hold for both, so the p-value is the larger and the interval the wider of the two. One seed
    knows nothing of the spread over seeds, and is judged by the bootstrap alone.
    Where all the d groups that speak for one classifier speak for the same, the p-value is at least the sign test's,
    2^(1 − d): the bootstrap calls four of them significant. Where that is not below LEVEL the interval reaches to 0.
    Of one group the p-value is 1.
    """
    if weights is None:
        weights = np.ones(1 + max(int(answers.truth.max()) for answers in seeds))
    kinds, counts = _kinds_of_groups(seeds, len(weights))
    drawn = _resampled(kinds, counts, len(seeds), weights, resamples, np.random.default_rng(seed))
    at_most, at_least = (1 + np.count_nonzero(drawn <= 0)), (1 + np.count_nonzero(drawn >= 0))
    one_side = _p_of_one_side(kinds, counts, len(seeds), weights)
    p = min(1.0, max(2 * min(at_most, at_least) / (resamples + 1), one_side))
    interval = percentile_interval(drawn) if counts.sum() > 1 else None
    of_seeds = np.array([_observed(answers, weights) for answers in seeds])
    mean = float(of_seeds.mean())
    if interval is None:
        return Difference(mean, None, None, 1.0, len(seeds))
    low, high = interval if one_side < LEVEL else (min(interval[0], 0.0), max(interval[1], 0.0))
    if len(seeds) > 1:
        half, p_seeds = _t_test(of_seeds)
        low, high, p = min(low, mean - half), max(high, mean + half), max(p, p_seeds)
    return Difference(mean, low, high, float(p), len(seeds))


def _t_test(values: Floats) -> tuple[float, float]:
    """Half the width of the mean's 95 % interval by Student's t, and the two-sided p-value of a mean of 0."""
    from scipy.stats import t

    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    if not error:
        return 0.0, 0.0 if values.mean() else 1.0
    freedom = len(values) - 1
    return float(t.ppf(0.975, freedom)) * error, 2 * float(t.sf(abs(values.mean()) / error, freedom))


def _gains(answers: Answers) -> tuple[Ints, Ints]:
    """Of the samples of known class: the class, and 1 where the first alone is right, −1 where the second alone is."""
    known = answers.truth >= 0
    truth = answers.truth[known]
    return truth, (answers.first[known] == truth).astype(np.int64) - (answers.second[known] == truth)


def _observed(answers: Answers, weights: Floats) -> float:
    """The difference itself."""
    truth, gain = _gains(answers)
    gains, support = (np.bincount(truth, of, minlength=len(weights)).astype(np.float64) for of in (gain, None))
    return float(_difference(gains, support, weights))


def _resampled(
    kinds: Any, counts: Ints, seeds: int, weights: Floats, resamples: int, rng: np.random.Generator
) -> Floats:
    """The mean difference over the seeds in each resample of the groups, (resamples,)."""
    drawn = []
    for start in range(0, resamples, BLOCK):
        times = rng.multinomial(counts.sum(), counts / counts.sum(), size=min(BLOCK, resamples - start))
        # Sums of this size are exact in floating point.
        sums = np.asarray(times.astype(np.float64) @ kinds).reshape(-1, seeds, 2, len(weights))
        drawn.append(_difference(sums[:, :, 0], sums[:, :, 1], weights).mean(axis=1))
    return np.concatenate([np.empty(0), *drawn])


def _p_of_one_side(kinds: Any, counts: Ints, seeds: int, weights: Floats) -> float:
    """The sign test's two-sided p-value where all groups that change the difference change it alike, or else 0."""
    support = np.asarray(counts @ kinds).reshape(seeds, 2, len(weights))[:, 1]
    of_gain = np.where(support > 0, weights, 0.0) / np.maximum(support, 1)
    of_gain /= np.maximum((support > 0) @ weights, weights.min())[:, None]
    # What a group adds to the difference; gains of several classes or seeds may cancel but for rounding.
    added = kinds @ np.stack([of_gain, np.zeros_like(of_gain)], axis=1).ravel()
    up, down = (int(counts[side].sum()) for side in (added > 1e-12, added < -1e-12))
    return 0.0 if up and down else 2.0 ** (1 - up - down)


def _kinds_of_groups(seeds: list[Answers], classes: int) -> tuple[Any, Ints]:
    """What groups hold, and how many groups hold just that: groups that are alike are drawn together. Single samples
    are of three kinds a class.

    The table is kinds × (seeds · 2 · classes): for each seed the gains, then the support of each class.
    """
    from scipy.sparse import coo_array

    numbers, parts = _group_numbers(seeds), [_gains(answers) for answers in seeds]
    rows = np.concatenate([of_seed for of_seed in numbers for _ in range(2)])
    columns = [(2 * place + part) * classes + truth for place, (truth, _) in enumerate(parts) for part in range(2)]
    values = [of for _, gain in parts for of in (gain, np.ones_like(gain))]
    shape = (int(rows.max()) + 1, len(seeds) * 2 * classes)
    table = coo_array((np.concatenate(values), (rows, np.concatenate(columns))), shape=shape).tocsr()
    table.eliminate_zeros()
    keys = row_keys(table)
    _, first, counts = np.unique(np.array(keys, dtype=object), return_index=True, return_counts=True)
    kinds = table[first].astype(np.float64)
    # A dense product is the fast one, where there is room for the table.
    return kinds.toarray() if kinds.shape[0] * kinds.shape[1] <= DENSE else kinds, counts


def row_keys(table: Any) -> list[bytes]:
    """For each row of a sparse integer matrix bytes that compare as the rows do, number by number from the left."""
    # A number above 0 is more than the 0 of a row whose next number comes later, and the sooner the more; below 0 less.
    sooner = table.shape[1] - table.indices.astype(np.int64)
    sizes = np.abs(table.data)
    weights = np.sign(table.data) * (sooner * (int(sizes.max(initial=0)) + 1) + sizes)
    ended = np.insert(weights, table.indptr[1:], 0)  # behind its last number a row is 0
    text = (ended + 2**62).astype(">u8").tobytes()
    ends = 8 * (table.indptr[1:] + np.arange(1, table.shape[0] + 1))
    return [text[start:stop] for start, stop in pairwise([0, *ends.tolist()])]


def _group_numbers(seeds: list[Answers]) -> list[Ints]:
    """The number of each known sample's group: the same in all seeds for groups of the same name."""
    known = [answers.truth >= 0 for answers in seeds]
    if any(answers.groups is None for answers in seeds):
        sizes = np.cumsum([0, *(np.count_nonzero(mask) for mask in known)])
        return [np.arange(start, stop) for start, stop in pairwise(sizes)]
    named = [answers.groups[mask] for answers, mask in zip(seeds, known, strict=True) if answers.groups is not None]
    numbers = np.unique(np.concatenate(named), return_inverse=True)[1]
    return np.split(numbers, np.cumsum([len(names) for names in named])[:-1])


def _difference(gains: Floats, support: Floats, weights: Floats) -> Floats:
    """The weighted mean of the classes' gains over the classes present, over the last axis: (…, K) to (…)."""
    counted = np.where(support > 0, weights, 0.0)
    rates = counted * gains / np.maximum(support, 1)
    mean: Floats = rates.sum(-1) / np.maximum(counted.sum(-1), weights.min())
    return mean
