"""Which positive and which negative an anchor has, by where all samples lie.

Source: Cui, Zhou, Lin and Belongie, CVPR 2016, sections 2.3.2 and 2.3.3 and Figure 2.6 of Cui's dissertation. Distances
are worked out in blocks, never of all samples to all.
"""

import math

import numpy as np
import numpy.typing as npt

from longtail.methods.base import Floats, Ints
from longtail.methods.placed import Pool
from longtail.rules.distances import squared_distances

# Distances at a time, 8 MiB, and four times that in what is worked out of them; one anchor's at least.
BLOCK = 2**21
CANDIDATES = 2048  # negatives among which one is looked for first


def draw_positives(points: Floats, pool: Pool, anchors: Ints, region: float, rng: np.random.Generator) -> Ints:
    """For each anchor a random one of the nearest share `region` of the others of its class, and of those that are as
    near as the last of them; −1 where it has no other. Anchors and what is found (B,) are rows of the pool, whose
    `points` (m, d) are.
    """
    found = np.full(len(anchors), -1)
    for code in np.unique(pool.codes[anchors]):
        rows, members = np.flatnonzero(pool.codes[anchors] == code), pool.members[int(code)]
        if len(members) > 1:
            count = region_size(len(members) - 1, region)
            for part in _blocks(rows, len(members)):
                found[part] = _near_at_random(points, members, anchors[part], count, rng)
    return found


def region_size(others: int, region: float) -> int:
    """How many of so many others are in the region: rounded up, so that it is one at least."""
    return max(1, math.ceil(round(region * others, 9)))


def _near_at_random(points: Floats, members: Ints, anchors: Ints, count: int, rng: np.random.Generator) -> Ints:
    if count == len(members) - 1:  # all of the class: the last stands in for the anchor itself
        drawn = members[rng.integers(count, size=len(anchors))]
        return np.where(drawn == anchors, members[-1], drawn)
    distances = squared_distances(points[anchors], points[members])
    distances[anchors[:, None] == members] = np.inf
    farthest = np.partition(distances, count - 1, axis=1)[:, count - 1]
    return _one_of(members, distances <= farthest[:, None], rng)


def draw_negatives(
    points: Floats, pool: Pool, candidates: Ints, anchors: Ints, bounds: Floats, rng: np.random.Generator
) -> Ints:
    """For each anchor a random one of the candidates of other classes, or of none, whose squared distance is below its
    bound (B,); −1 where there is no such. Candidates, anchors and what is found (B,) are rows of the pool.

    A random few of the candidates are looked at first, and all of them where none of these is near enough: each that is
    near enough is as likely as another.
    """

    def draw(among: Ints, rows: Ints) -> Ints:
        near = squared_distances(points[anchors[rows]], points[among]) < bounds[rows, None]
        near &= pool.codes[among] != pool.codes[anchors[rows], None]
        return _one_of(among, near, rng)

    few = rng.choice(candidates, min(CANDIDATES, len(candidates)), replace=False)
    found = draw(few, np.arange(len(anchors)))
    waiting = np.flatnonzero((found < 0) & (bounds > 0))
    for part in _blocks(waiting, len(candidates)) if len(few) < len(candidates) else ():
        found[part] = draw(candidates, part)
    return found


def _one_of(columns: Ints, allowed: npt.NDArray[np.bool_], rng: np.random.Generator) -> Ints:
    """For each row of `allowed` (B, m) a random one of the columns (m,) that are allowed there, −1 where none is."""
    counts = np.count_nonzero(allowed, axis=1)
    drawn = rng.integers(np.maximum(counts, 1))
    places = (allowed.cumsum(1, dtype=np.int32) > drawn[:, None]).argmax(1)
    return np.where(counts > 0, columns[places], -1)


def _blocks(rows: Ints, columns: int) -> list[Ints]:
    size = max(1, BLOCK // columns)
    return [rows[start : start + size] for start in range(0, len(rows), size)]
