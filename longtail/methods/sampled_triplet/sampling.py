"""Which positive and which negative an anchor has, by where all samples lie.

Source: Cui, Zhou, Lin and Belongie, CVPR 2016, sections 2.3.2 and 2.3.3 and Figure 2.6 of Cui's dissertation. Distances
are worked out in blocks, never of all samples to all.
"""

import math

import numpy as np

from longtail.methods.base import Floats, Ints
from longtail.methods.placed import Pool
from longtail.rules.distances import squared_distances

# Distances at a time: 8 MiB, and twice that for their order; one anchor's at least, to all of its class.
BLOCK = 2**21
CANDIDATES = 2048  # negatives that are looked at together


def draw_positives(points: Floats, pool: Pool, anchors: Ints, region: float, rng: np.random.Generator) -> Ints:
    """For each anchor a random one of the nearest share `region` of the others of its class, of equally near ones any;
    −1 where it has no other. Anchors and what is found (B,) are rows of the pool, whose `points` (m, d) are.
    """
    found = np.full(len(anchors), -1)
    for code in np.unique(pool.codes[anchors]):
        rows, members = np.flatnonzero(pool.codes[anchors] == code), rng.permutation(pool.members[int(code)])
        if len(members) > 1:
            count = region_size(len(members) - 1, region)
            size = max(1, BLOCK // len(members))
            for part in (rows[start : start + size] for start in range(0, len(rows), size)):
                found[part] = _nearest_at_random(points, members, anchors[part], count, rng)
    return found


def region_size(others: int, region: float) -> int:
    """How many of so many others are in the region: rounded up, so that it is one at least."""
    return math.ceil(round(region * others, 9))


def _nearest_at_random(points: Floats, members: Ints, anchors: Ints, count: int, rng: np.random.Generator) -> Ints:
    drawn = rng.integers(count, size=len(anchors))
    if count == len(members) - 1:  # all of the class: the last stands in for the anchor itself
        return np.where(members[drawn] == anchors, members[-1], members[drawn])
    distances = squared_distances(points[anchors], points[members])
    distances[anchors[:, None] == members] = np.inf
    near = np.argpartition(distances, count - 1, axis=1)
    return members[near[np.arange(len(anchors)), drawn]]


def draw_negatives(
    points: Floats, pool: Pool, candidates: Ints, anchors: Ints, bounds: Floats, rng: np.random.Generator
) -> Ints:
    """For each anchor a random one of the candidates of other classes, or of none, whose squared distance is below its
    bound (B,); −1 where there is no such. Candidates, anchors and what is found (B,) are rows of the pool.

    Candidates come in random order, block by block, until every anchor has one, so that each is as likely as another.
    """
    found, order = np.full(len(anchors), -1), rng.permutation(candidates)
    for start in range(0, len(order), CANDIDATES):
        block, waiting = order[start : start + CANDIDATES], np.flatnonzero(found < 0)
        if not len(waiting):
            break
        near = squared_distances(points[anchors[waiting]], points[block]) < bounds[waiting, None]
        near &= pool.codes[block] != pool.codes[anchors[waiting], None]
        counts = near.sum(1)
        some = counts > 0
        drawn = rng.integers(np.maximum(counts, 1))
        found[waiting[some]] = block[(near.cumsum(1) > drawn[:, None]).argmax(1)[some]]
    return found
