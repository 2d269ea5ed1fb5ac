"""How the answers of two methods differ: in how many images, how alike within groups, how much from seed to seed."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from longtail.advice.detectable import effective, variance
from longtail.metrics.significance import Answers

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Gains:
    """Of two methods, over their seeds: `discordance`, the share of test images that one alone has right, the mean over
    the minority classes and over the others, NaN where there are none; `likeness`, the correlation of the gains of a
    class's images within a group, in [0, 1], None without groups of several; `spread`, the standard deviation over
    seeds of the difference in mean per-class accuracy that test subsets of their size do not explain, None of one seed.
    """

    discordance: tuple[float, float]
    likeness: float | None
    spread: float | None

    @classmethod
    def of(cls, seeds: list[Answers], minority: npt.NDArray[np.bool_]) -> Self:
        """Of the answers of each seed; `minority` (K,)."""
        found = [_Seed.of(answers, len(minority)) for answers in seeds]
        shares = np.nanmean([one.discordance for one in found], axis=0)
        likeness = [one.likeness for one in found if one.likeness is not None]
        alike = float(np.mean(likeness)) if likeness else None
        return cls((_mean(shares[minority]), _mean(shares[~minority])), alike, _spread(found, shares, alike or 0.0))


@dataclass(frozen=True)
class _Seed:
    """`discordance` (K,), NaN of classes without test images; `sizes`: of each class those of its groups."""

    discordance: Floats
    likeness: float | None
    sizes: list[list[int]]
    difference: float

    @classmethod
    def of(cls, answers: Answers, classes: int) -> Self:
        assert answers.groups is not None
        known = answers.truth >= 0
        truth, groups = answers.truth[known], answers.groups[known]
        gain = (answers.first[known] == truth).astype(np.float64) - (answers.second[known] == truth)
        counts = np.bincount(truth, minlength=classes)
        with np.errstate(invalid="ignore"):
            shares, means = (np.bincount(truth, of, minlength=classes) / counts for of in (np.abs(gain), gain))
        cells = np.unique(truth * (1 + len(groups)) + np.unique(groups, return_inverse=True)[1], return_inverse=True)[1]
        of_class = truth[np.unique(cells, return_index=True)[1]]
        sizes = np.bincount(cells)
        likeness = _likeness(gain - means[truth], cells, sizes)
        return cls(
            shares, likeness, [sizes[of_class == one].tolist() for one in range(classes)], float(np.nanmean(means))
        )


def _likeness(centred: Floats, cells: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]) -> float | None:
    """The intraclass correlation by the analysis of variance, of groups of unequal size (Donner, 1986)."""
    count, images = len(sizes), len(cells)
    if count == images or count < 2:
        return None
    means = np.bincount(cells, centred) / sizes
    between = float((sizes * means**2).sum()) / (count - 1)
    within = float(((centred - means[cells]) ** 2).sum()) / (images - count)
    size = (images - float((sizes**2).sum()) / images) / (count - 1)
    total = between + (size - 1) * within
    return min(1.0, max(0.0, (between - within) / total)) if total else None


def _spread(seeds: list[_Seed], shares: Floats, likeness: float) -> float | None:
    if len(seeds) < 2:
        return None
    tested = [place for place, share in enumerate(shares) if all(one.sizes[place] for one in seeds)]
    of_test = [variance([effective(one.sizes[c], likeness) for c in tested], shares[tested].tolist()) for one in seeds]
    between = float(np.var([one.difference for one in seeds], ddof=1))
    return math.sqrt(max(0.0, between - sum(of_test) / len(of_test)))


def _mean(values: Floats) -> float:
    """Of those that are numbers; a background class, or one without a test image, has none."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")
