"""The smallest difference between two classifiers that a test subset tells from none, before either is trained.

Both answer the same images. Only those count that one of them alone has right; their share is the discordance ψ. A
difference δ in accuracy is told where McNemar's test has p < 0.05 in 80 % of test subsets of this size. Methods that
differ by more than the ψ that is assumed differ in just so many images, all of them for one method: ψ = δ.

Source: of one class, McNemar's exact test and its power, the sum over the number of discordant images; of the mean
over the classes, the normal approximation of Miettinen, Biometrics 1968, and Connor, Biometrics 1987, in which each
class has a variance (ψ − δ²) / n of its own. Of groups: Kish, Survey sampling, 1965, the design effect.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from scipy import stats

from longtail.metrics.significance import LEVEL

POWER = 0.8
Z_LEVEL, Z_POWER = float(stats.norm.ppf(1 - LEVEL / 2)), float(stats.norm.ppf(POWER))
# Of fewer discordant images even all on one side are chance: 2 · 0.5⁵ = 0.06.
FEWEST = 6
STEPS = 30  # halvings of an interval that is searched


def effective(sizes: Sequence[int], likeness: float) -> float:
    """How many independent images the images of groups of these `sizes` are worth.

    `likeness`: the correlation of the gains of two images of a group, from 0, every image counts, to 1, groups of one
    size count as one image each.
    """
    images = sum(sizes)
    if not images:
        return 0.0
    mean_size = sum(size * size for size in sizes) / images
    return images / (1 + (mean_size - 1) * likeness)


def power(images: int, discordance: float, difference: float) -> float:
    """The probability that the exact McNemar test tells a difference, in (0, discordance], of one class."""
    middle, far = images * discordance, 8 * math.sqrt(images * discordance) + 8
    discordant = np.arange(max(FEWEST, math.floor(middle - far)), min(images, math.ceil(middle + far)) + 1)
    if not len(discordant):
        return 0.0
    least = stats.binom.isf(LEVEL / 2, discordant, 0.5)  # more than these on one side are not chance
    right = stats.binom.sf(least, discordant, (1 + difference / discordance) / 2)
    return float((stats.binom.pmf(discordant, images, discordance) * right).sum())


@cache
def of_class(images: int, discordance: float) -> float | None:
    """The smallest difference in the accuracy of a class of so many test images, in (0, 1]; None where no difference is
    told.
    """
    return _smallest(lambda difference: power(images, max(discordance, difference), difference) >= POWER)


@cache
def needed(discordance: float, difference: float) -> int:
    """The test images that a class needs for a difference in its accuracy, in (0, 1], to be told; where methods differ
    in fewer images than that, in just so many.
    """
    discordance = max(discordance, difference)
    high = FEWEST
    while power(high, discordance, difference) < POWER:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle, discordance, difference) >= POWER else (middle, high)
    return high


def margin(images: float) -> float:
    """Half of the 95 % interval (Wilson 1927) of the accuracy of one model on so many images, at least 0, where the
    interval is widest: half of them right. In [0, 0.5].
    """
    return Z_LEVEL / (2 * math.sqrt(images + Z_LEVEL**2))


def variance(images: Sequence[float], discordance: Sequence[float]) -> float:
    """Of the mean over classes of the gains, where there is no difference; `images` of each class, above 0."""
    return sum(psi / n for n, psi in zip(images, discordance, strict=True)) / len(images) ** 2


def of_mean(images: Sequence[float], discordance: Sequence[float]) -> float | None:
    """The smallest difference in mean per-class accuracy, in (0, 1], of classes of so many effective test images, above
    0, each with its discordance; None where no difference is told.
    """
    if sum(images) < FEWEST:
        return None
    of_unit = variance(images, [1.0] * len(images))

    def told(difference: float) -> bool:
        of_none = variance(images, [max(psi, difference) for psi in discordance])
        left = max(0.0, of_none - of_unit * difference**2)
        return difference >= Z_LEVEL * math.sqrt(of_none) + Z_POWER * math.sqrt(left)

    return _smallest(told)


def of_seeds(test_variance: float, spread: float, seeds: int) -> float:
    """The smallest difference that a paired t-test over so many seeds, at least 2, tells, where each is tested on
    images of its own: `test_variance` of the mean on one test subset, `spread` over seeds beside it.
    """
    return _of_spread_one(seeds) * math.sqrt(test_variance + spread**2)


@cache
def _of_spread_one(seeds: int) -> float:
    critical = stats.t.ppf(1 - LEVEL / 2, seeds - 1)
    found = _smallest(lambda part: stats.nct.sf(critical, seeds - 1, 100 * part * math.sqrt(seeds)) >= POWER)
    assert found is not None
    return 100 * found


def _smallest(told: Callable[[float], bool]) -> float | None:
    """The smallest value in (0, 1] that is told, where all above it are; None if 1 is not."""
    if not told(1.0):
        return None
    low, high = 0.0, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if told(middle) else (middle, high)
    return high
