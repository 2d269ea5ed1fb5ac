"""Partners at a quantile of the distances in place of the extremes: harder or easier by one number."""

import math

import numpy as np
import numpy.typing as npt

from longtail.quintuplets.candidates import Task
from longtail.quintuplets.table import WHOLE, Part, QuintupletTable
from longtail.rules.distances import squared_distances

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

BLOCK = 2**24  # distances at a time
ROUNDING = 1e-9  # of qm: in binary 0.55 · 20 is more than 11


def quantile_table(embeddings: Floats, task: Task, quantile: float, *, part: Part = WHOLE) -> QuintupletTable:
    """The table of a task whose partners lie at a quantile in (0.5, 1] of the distances to the candidates.

    Of m candidates in the order of their distance, the ⌈qm⌉-th is p+, and likewise p−−; p− and n are the ⌈qm⌉-th from
    the far end. 1 is the paper's: the farthest and the nearest. Below it p−− is of another cluster as p− is, if there
    is one, so that it is no nearer than p−, as Eq. 1 has them: the middle of the whole class would be nearer than the
    middle of what lies outside of the anchor's cluster. `embeddings` (n, d). Otherwise as `quintuplet_tables`;
    it takes anchors × candidates distances, and no GPU.
    """
    assert quantile > 0.5
    task.check()
    order = np.argsort(task.keys(task.pool), kind="stable")
    pool = task.pool[order]
    keys, classes = task.keys(pool), task.labels[pool]
    anchors = task.anchors[part.share(len(task.anchors))]
    members, has_other = np.empty((len(anchors), 5), np.int64), np.empty(len(anchors), bool)
    size, candidates = max(1, BLOCK // len(pool)), embeddings[pool].astype(np.float64)
    for start in range(0, len(anchors), size):
        here = anchors[start : start + size]
        # In double precision and then rounded, equals stay equal whatever else is in the product.
        distances = squared_distances(embeddings[here].astype(np.float64), candidates).astype(np.float32)
        distances[here[:, None] == pool] = np.nan  # an anchor is no partner of its own
        for row, anchor in enumerate(here):
            cluster = _run(keys, int(task.keys(anchor)))
            same = _run(classes, int(task.labels[anchor]))
            own, others = distances[row, cluster], np.delete(distances[row], same)
            elsewhere = np.r_[same.start : cluster.start, cluster.stop : same.stop]
            plus = _at(own, pool[cluster], quantile, far=True, otherwise=int(anchor))
            whole = np.arange(same.start, same.stop)
            within = elsewhere if quantile < 1 and len(elsewhere) else whole
            far = _at(distances[row, within], pool[within], quantile, far=True, otherwise=int(anchor))
            minus = _at(distances[row, elsewhere], pool[elsewhere], quantile, far=False, otherwise=far)
            negative = _at(others, np.delete(pool, same), quantile, far=False, otherwise=-1)
            members[start + row] = anchor, plus, minus, far, negative
            has_other[start + row] = len(elsewhere) > 0
    return QuintupletTable(members, has_other, task.clusters[anchors])


def _run(values: Ints, value: int) -> slice:
    """Where a value stands in sorted values."""
    return slice(*np.searchsorted(values, [value, value + 1]).tolist())


def _at(distances: Floats, positions: Ints, quantile: float, *, far: bool, otherwise: int) -> int:
    """The position whose distance stands at the quantile, of equals the first; `otherwise` where there is none."""
    count = int(np.count_nonzero(~np.isnan(distances)))
    if not count:
        return otherwise
    place = max(1, math.ceil(quantile * count - ROUNDING)) - 1
    place = place if far else count - 1 - place
    value = np.partition(distances, place)[place]
    return int(positions[np.argmax(distances == value)])
