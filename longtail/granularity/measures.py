"""The four measures of granularity, of a labelled set under a distance (chapter 6.2.3 of the thesis).

Every sample that has company in its class counts; a sample alone has no distance within its class, and stands for its
class alone. Where own and other are equally far, the other counts as nearer: classes of equal points cannot be told
apart, and are as fine as can be.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from longtail.granularity.distance import EQUAL, Distance, Floats, Ints
from longtail.granularity.labelled import Labelled


class ToMedoids(NamedTuple):
    """Of each of n samples: the rank of its class's medoid among the k medoids, `ranks` (n,), and its distance to it as
    a share of that to the nearest other, `ratios` (n,). `nearer` (k, k): of how many samples of a class (row) the
    medoid of another (column) is no farther than its own.
    """

    ranks: Ints
    ratios: Floats
    nearer: npt.NDArray[np.int32]


def to_medoids(distance: Distance, labelled: Labelled, medoids: Ints) -> ToMedoids:
    """Compare the samples with the medoids (k,) of their classes: n·k distances, in blocks."""
    n, k, classes = len(labelled.positions), len(medoids), labelled.classes
    ranks, ratios, nearer = np.empty(n, np.int64), np.empty(n), np.zeros((k, k), np.int32)
    for rows in labelled.rows(k):
        found, of = distance(labelled.positions[rows], medoids), classes[rows]
        here = np.arange(len(of)), of
        own = found[here].copy()
        found[here] = np.inf
        ahead = found <= own[:, None] * EQUAL
        ranks[rows] = 1 + ahead.sum(1)
        ratios[rows] = shares(own, found.min(1))
        first = np.flatnonzero(np.diff(of, prepend=-1))
        nearer[of[first]] += np.add.reduceat(ahead, first, axis=0, dtype=np.int32)
    return ToMedoids(ranks, ratios, nearer)


def shares(own: Floats, other: Floats) -> Floats:
    """own / other: 1 where both are 0, and infinite where other alone is."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where((own == 0) & (other == 0), 1.0, own / other)


def rsm(labelled: Labelled, found: ToMedoids) -> float:
    """Eq. 6.3, the revised silhouette with medoids, at least 0; infinite where another class's medoid lies upon a
    sample.
    """
    return float(found.ratios[labelled.accompanied].mean())


def rankm(ranks: Ints, classes: int) -> float:
    """Eq. 6.5, the ranking with medoids, in [0, 1], of the ranks (n,) among so many classes' medoids."""
    return float(classes / (classes - 1) * (1 - (1 / ranks).mean()))


def rs(distance: Distance, labelled: Labelled) -> float:
    """Eq. 6.2, the revised silhouette, at least 0; takes n² distances, in blocks."""
    total, sizes, classes = 0.0, labelled.sizes, labelled.classes
    for rows in labelled.rows(len(labelled.positions)):
        of = classes[rows]
        sums = np.add.reduceat(distance(labelled.positions[rows], labelled.positions), labelled.starts, axis=1)
        here = np.arange(len(of)), of
        company = sizes[of] > 1
        within = sums[here] / np.maximum(sizes[of] - 1, 1)
        means = sums / sizes
        means[here] = np.inf
        total += float(shares(within, means.min(1))[company].sum())
    return total / int(labelled.accompanied.sum())


def rank(distance: Distance, labelled: Labelled) -> float:
    """Eq. 6.4, the ranking index, in [0, 1]: n / (n − 1) less the mean average precision of the samples of the same
    class among all others; takes n² distances, in blocks.
    """
    n, classes, total = len(labelled.positions), labelled.classes, 0.0
    for rows in labelled.rows(n):
        found = distance(labelled.positions[rows], labelled.positions)
        for place, of, line in zip(range(rows.start, rows.stop), classes[rows], found, strict=True):
            start, stop = labelled.starts[of], labelled.starts[of] + labelled.sizes[of]
            if stop - start > 1:
                own = np.sort(np.delete(line[start:stop], place - start))
                total += _average_precision(own, np.concatenate([line[:start], line[stop:]]))
    return n / (n - 1) * (1 - total / int(labelled.accompanied.sum()))


def _average_precision(own: Floats, others: Floats) -> float:
    """Of distances to the same class, ascending, and to others: the mean of j / R_j, R_j the rank of the j-th."""
    ahead = np.searchsorted(np.sort(others), own * EQUAL, side="right")
    j = np.arange(1, len(own) + 1)
    return float((j / (j + ahead)).mean())
