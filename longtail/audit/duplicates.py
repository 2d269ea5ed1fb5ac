"""Images that are there twice, in other groups: pairs much nearer to each other than images of this data ever are.

Of the 3 nearest points of a sample in m dimensions, drawn from a smooth density, r₁ / r₃ is below t with probability
1 − (1 − t^m)², whatever the density (Facco et al., Estimating the intrinsic dimension, 2017, have it of two). So m
comes from the data, and with it the ratio that chance would not reach among so many images. Where half of all images
have a near-duplicate, none stands out, and equal ones alone are found.
"""

from typing import NamedTuple

import numpy as np

from longtail.audit.neighbours import Neighbours
from longtail.granularity.distance import Floats

# Of an image with three copies or more, equal ones alone are found. With more neighbours, the few images of a rare
# class that lie close together, and far from all others, would be taken for copies.
K = 3
CHANCE = 0.001  # pairs that are expected of data without any duplicate
FEWEST = 20  # images of which a ratio can be judged; of fewer, equal ones alone are told
TAIL = 0.02  # the share of images by which m is fitted: low ratios tell of low ratios, not the middle
DIMENSIONS = 50.0  # at most; in more, all distances are nearly equal


class Copy(NamedTuple):
    """The positions of two samples, and their distance as a share of that to the third neighbour, 0 of equal ones."""

    first: int
    second: int
    ratio: float


def duplicates(found: Neighbours) -> tuple[list[Copy], float]:
    """The pairs, the surest first, and the ratio below which a pair is one; `found`: K or more neighbours of each."""
    distances, positions = found.distances[:, :K], found.positions[:, :K]
    far = distances[:, -1:]
    with np.errstate(invalid="ignore"):
        ratios = np.where(distances == 0, 0.0, np.where(np.isfinite(far), distances / far, np.inf))
    known = np.isfinite(far[:, 0]) & (ratios[:, 0] > 0)
    limit = largest(ratios[known, 0])
    close = (ratios < limit) | (ratios == 0)
    pairs: dict[tuple[int, int], float] = {}
    for row, column in zip(*np.nonzero(close), strict=True):
        pair = tuple(sorted((int(row), int(positions[row, column]))))
        pairs[pair] = min(float(ratios[row, column]), pairs.get(pair, np.inf))  # type: ignore[index, arg-type]
    return sorted((Copy(*pair, ratio) for pair, ratio in pairs.items()), key=lambda one: (one.ratio, one)), limit


def largest(ratios: Floats) -> float:
    """Below which ratio r₁ / r₃ (n,) chance brings CHANCE pairs; 0 of fewer than FEWEST.

    The middle of the ratios says which samples may have a copy, and the lowest of the others how ratios fall.
    """
    if len(ratios) < FEWEST:
        return 0.0
    first = _limit(ratios, 0.5, len(ratios))
    return _limit(ratios[ratios >= first], TAIL, len(ratios))


def _limit(ratios: Floats, share: float, samples: int) -> float:
    """From the ratio that this share of them is below, the one that CHANCE of so many samples are."""
    reached = float(np.quantile(ratios, share))
    dimensions = DIMENSIONS if reached >= 1 else min(DIMENSIONS, np.log(_power(share)) / np.log(reached))
    return float(_power(CHANCE / samples) ** (1 / dimensions))


def _power(probability: float) -> float:
    """t^m, from 1 − (1 − t^m)^(K − 1)."""
    return float(-np.expm1(np.log1p(-probability) / (K - 1)))
