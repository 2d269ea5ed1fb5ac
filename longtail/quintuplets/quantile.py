"""Partners at a quantile of the distances in place of the extremes: harder or easier by one number.

Anchors of one class are taken together, and of these those of one cluster: they have the same candidates for a partner.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from longtail.quintuplets.candidates import Task, runs
from longtail.quintuplets.table import WHOLE, Part, QuintupletTable
from longtail.quintuplets.threads import threaded
from longtail.rules.distances import squared_distances
from longtail.threads import budget

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Partners = Literal["near", "far", "all"]

BLOCK = 2**22  # distances that a thread has at a time
ROUNDING = 1e-9  # of qm: in binary 0.55 · 20 is more than 11


def quantile_table(
    embeddings: Floats, task: Task, quantile: float, *, part: Part = WHOLE, partners: Partners = "all"
) -> QuintupletTable:
    """The table of a task whose partners lie at a quantile in (0.5, 1] of the distances to the candidates.

    Of m candidates in the order of their distance, the ⌈qm⌉-th is p+, and likewise p−−; p− and n are the ⌈qm⌉-th from
    the far end. 1 is the paper's: the farthest and the nearest. Below it p−− is of another cluster as p− is, if there
    is one, so that it is no nearer than p−, as Eq. 1 has them: the middle of the whole class would be nearer than the
    middle of what lies outside of the anchor's cluster. `embeddings` (n, d). `partners`: near are p+ and p−, far are
    p−− and n; those that are not asked for are −1. Otherwise as `quintuplet_tables`; it takes no GPU.
    """
    assert quantile > 0.5
    task.check()
    candidates = _Candidates.of(embeddings, task)
    anchors = task.anchors[part.share(len(task.anchors))]
    keys = task.keys(anchors)
    order = np.argsort(keys, kind="stable")
    blocks = []
    for of_class in runs(keys[order] // task.span):
        same = candidates.of_class(int(task.labels[anchors[order[of_class.start]]]))
        size = max(1, BLOCK // (same.stop - same.start if partners == "near" else len(candidates.pool)))
        starts = range(of_class.start, of_class.stop, size)
        blocks += [(order[start : min(start + size, of_class.stop)], same) for start in starts]
    members, has_other = np.full((len(anchors), 5), -1, np.int64), np.empty(len(anchors), bool)

    def fill(block: tuple[Ints, slice]) -> None:
        rows, same = block
        points = embeddings[anchors[rows]].astype(np.float64)
        if partners != "near":
            members[rows, 4] = candidates.negatives(points, same, quantile)
        pool, distances = candidates.pool[same], candidates.distances(points, same)
        for of_cluster in runs(keys[rows]):
            here = rows[of_cluster]
            cluster = candidates.cluster(int(keys[here[0]]), same)
            columns = candidates.column[anchors[here]] - same.start  # of the anchors; below 0 if they are no candidates
            members[here, 0] = anchors[here]
            members[here, 1:4] = _within_class(
                distances[of_cluster], pool, cluster, anchors[here], columns, quantile, partners
            )
            has_other[here] = cluster.stop - cluster.start < len(pool)

    with threaded(budget(), len(blocks)) as each:
        for _ in each(fill, blocks):
            pass
    return QuintupletTable(members, has_other, task.clusters[anchors])


@dataclass(frozen=True)
class _Candidates:
    """The candidates sorted by class and cluster: their positions `pool` (m,), `keys` (m,) and `points` (m, d);
    `column` (n,): where each sample stands among them, far below 0 if it is none.
    """

    pool: Ints
    keys: Ints
    points: Doubles
    column: Ints
    span: int

    @classmethod
    def of(cls, embeddings: Floats, task: Task) -> "_Candidates":
        keys = task.keys(task.pool)
        order = np.argsort(keys, kind="stable")
        pool = task.pool[order]
        column = np.full(len(task.labels), -len(task.labels), np.int64)
        column[pool] = np.arange(len(pool))
        return cls(pool, keys[order], embeddings[pool].astype(np.float64), column, task.span)

    def of_class(self, code: int) -> slice:
        """Where a class stands."""
        return slice(*np.searchsorted(self.keys, [code * self.span, (code + 1) * self.span]).tolist())

    def cluster(self, key: int, same: slice) -> slice:
        """Where a cluster stands in its class, which stands in `same`."""
        return slice(*(np.searchsorted(self.keys, [key, key + 1]) - same.start).tolist())

    def distances(self, points: Doubles, columns: slice) -> Floats:
        """In double precision and then rounded, so that equals stay equal whatever else is in the product."""
        return squared_distances(points, self.points[columns]).astype(np.float32)

    def negatives(self, points: Doubles, same: slice, quantile: float) -> Ints:
        """n of each point: of all candidates but those of its class."""
        sides = slice(0, same.start), slice(same.stop, len(self.pool))
        others = np.concatenate([self.distances(points, side) for side in sides], axis=1)
        pool = np.concatenate([self.pool[side] for side in sides])
        return _at(others, pool, quantile, np.full(len(points), len(pool)), far=False, otherwise=-1)


def _within_class(
    distances: Floats,
    pool: Ints,
    cluster: slice,
    anchors: Ints,
    columns: Ints,
    quantile: float,
    partners: Partners,
) -> Ints:
    """p+, p− and p−− of the anchors (g,) of one cluster, (g, 3), by the distances (g, k) to the candidates of their
    class, which are overwritten. `cluster`: where theirs stands among these; `columns` (g,) where the anchors do.
    """
    drawn = columns >= 0
    distances[drawn, columns[drawn]] = np.nan  # an anchor is no partner of its own
    members = np.full((len(anchors), 3), -1)
    size = cluster.stop - cluster.start
    elsewhere = np.full(len(anchors), len(pool) - size)
    if partners != "far":
        members[:, 0] = _at(distances[:, cluster], pool[cluster], quantile, size - drawn, far=True, otherwise=anchors)
    whole = quantile == 1 or not elsewhere[0]
    if whole and partners != "near":
        members[:, 2] = _at(distances, pool, quantile, len(pool) - drawn, far=True, otherwise=anchors)
    distances[:, cluster] = np.nan
    if not whole and partners != "near":
        members[:, 2] = _at(distances, pool, quantile, elsewhere, far=True, otherwise=anchors)
    if partners != "far":
        members[:, 1] = _at(distances, pool, quantile, elsewhere, far=False, otherwise=members[:, 2])
    return members


def _at(distances: Floats, positions: Ints, quantile: float, counts: Ints, *, far: bool, otherwise: Ints | int) -> Ints:
    """(g,) for each row of (g, k) the position whose distance stands at the quantile, of equals the first; `otherwise`
    where there is none. `counts` (g,): how many of a row are distances, and not NaN.
    """
    found = np.empty(len(distances), np.int64)
    found[:] = otherwise
    # Few counts, two of a cluster: a partition at one place takes a third of one at two.
    for count in np.unique(counts[counts > 0]).tolist():
        rows = np.flatnonzero(counts == count)
        of_count = distances if len(rows) == len(distances) else distances[rows]
        rank = max(1, math.ceil(quantile * count - ROUNDING)) - 1
        place = rank if far else count - 1 - rank
        values = np.partition(of_count, place, axis=1)[:, place]  # NaN is sorted to the end
        found[rows] = positions[np.argmax(of_count == values[:, None], axis=1)]
    return found
