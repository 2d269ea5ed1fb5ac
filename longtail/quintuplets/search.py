"""The extremes of the quintuplet table: one blocked product of the embeddings, reduced while it is in the cache.

For a block of anchors every segment of candidates is reduced to its greatest and its least score; the four partners are
extremes of these, over ranges of segments; and a partner's position is found by searching the one segment again.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt

from longtail.quintuplets.candidates import Candidates, Task, runs
from longtail.quintuplets.product import Extremes, Product, reduce_on_cpu
from longtail.quintuplets.table import WHOLE, Part, QuintupletTable
from longtail.quintuplets.threads import Map, threaded
from longtail.threads import budget

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Device = Literal["cpu", "cuda"]

BLOCK = 512  # anchors; parts of a table begin at multiples of it
# Bytes of scores that a thread has at a time, where nothing is said; and how many threads a GPU has work from.
MEMORY: dict[Device, int] = {"cpu": 256 * 2**20, "cuda": 2 * 2**30}
GPU_THREADS = 2
P_PLUS, P_MINUS, P_FAR, NEGATIVE = range(4)


def quintuplet_tables(
    embeddings: Floats, tasks: list[Task], *, part: Part = WHOLE, device: Device = "cpu", memory: int | None = None
) -> list[QuintupletTable]:
    """One table for each task, all over the same `embeddings` (n, d); partners are the exact extremes over the pool.

    `part`: only the rows of that part. `memory`: a bound, in bytes, on the scores that each thread has at a time (None:
    256 MiB, on a GPU 2 GiB). Ties go to the lowest cluster, and in it to the lowest position; distances that differ by
    less than float32 tells apart count as equal. An anchor without another candidate in its cluster is its own p+, and
    one without another in its class its own p−−.

    Raises DataError if a task's candidates are of fewer than two classes, or none is of an anchor's class.
    """
    for task in tasks:
        task.check()
    candidates = [Candidates.of(task) for task in tasks]
    product = Product.of(embeddings, candidates)
    anchors, keys = _anchors(tasks), [_keys(task) for task in tasks]
    reduce, rows = _reducer(product, device)
    block = _block_size(rows, candidates, memory or MEMORY[device])
    wholes = part.share(-(-len(anchors) // BLOCK))
    starts = range(wholes.start * BLOCK, min(wholes.stop * BLOCK, len(anchors)), block)

    def winners(start: int) -> list[tuple[Ints, Ints]]:
        here = anchors[start : start + block]
        asked = [task.classes(of_task[here]) for task, of_task in zip(candidates, keys, strict=True)]
        extremes = reduce(embeddings[here], here, asked)
        return [
            _choose(task, of_task[here], here, *e) for task, of_task, e in zip(candidates, keys, extremes, strict=True)
        ]

    with threaded(GPU_THREADS if device == "cuda" else budget(), len(starts)) as each:
        found = list(each(winners, starts))
    with threaded(budget(), len(starts)) as each:
        return [
            _table(embeddings, task.clusters, of_task, [block[i] for block in found], each)
            for i, (task, of_task) in enumerate(zip(tasks, candidates, strict=True))
        ]


def _anchors(tasks: list[Task]) -> Ints:
    """Those of all tasks; of one task by class and cluster, so that a block's anchors have few of them."""
    if len(tasks) > 1:
        return np.unique(np.concatenate([task.anchors for task in tasks]))
    anchors = tasks[0].anchors
    return anchors[np.argsort(tasks[0].keys(anchors), kind="stable")]


def _keys(task: Task) -> Ints:
    """(n,) the key of class and cluster of each anchor, −1 for what is none."""
    keys = np.full(len(task.labels), -1, np.int64)
    keys[task.anchors] = task.keys(task.anchors)
    return keys


def _reducer(product: Product, device: Device) -> tuple[Callable[..., list[Extremes]], int]:
    """What reduces the product for a block of anchors, and how many rows of scores it has at a time."""
    if device == "cpu":
        return partial(reduce_on_cpu, product), max(map(len, product.tiles))
    from longtail.quintuplets.gpu import GPUProduct

    # Several tasks each have a copy of the scores in their own order.
    return GPUProduct(product, device).reduce, len(product.rows) * (1 if len(product.order) == 1 else 2)


def _block_size(rows: int, candidates: list[Candidates], memory: int) -> int:
    """A power of two, so that the blocks of a part are those of the whole."""
    column = 4 * (rows + 2 * sum(map(len, candidates)))
    return int(2 ** np.clip(np.floor(np.log2(memory / column)), 0, np.log2(BLOCK)))


def _choose(task: Candidates, keys: Ints, here: Ints, greatest: Floats, least: Floats) -> tuple[Ints, Ints]:
    """The anchors of the task in a block, and (4, anchors) the segment that has each partner, −1 for no partner."""
    order = np.argsort(keys, kind="stable")
    order = order[keys[order] >= 0]
    if len(order) < len(keys) or (order[1:] < order[:-1]).any():
        keys, here, greatest, least = keys[order], here[order], greatest[:, order], least[:, order]
    chosen = np.full((4, len(here)), -1, np.int64)
    for of_class in runs(keys // task.span):
        segments = task.cluster_class(int(keys[of_class.start]))
        for members in runs(keys[of_class]):
            columns = slice(of_class.start + members.start, of_class.start + members.stop)
            own = task.cluster(int(keys[columns.start]))
            chosen[P_PLUS, columns] = _first(np.argmin, least[own, columns], own.start)
            greatest[own, columns] = -np.inf
        chosen[P_MINUS, of_class] = _first(np.argmax, greatest[segments, of_class], segments.start)
        chosen[P_FAR, of_class] = _first(np.argmin, least[segments, of_class], segments.start)
        greatest[segments, of_class] = -np.inf
    chosen[NEGATIVE] = np.argmax(greatest, axis=0)
    return here, chosen


def _first(pick: Callable[..., Ints], scores: Floats, offset: int) -> Ints:
    """For each column the row that is picked, counted from `offset`; −1 where none has a score."""
    if not len(scores):
        return np.full(scores.shape[1], -1, np.int64)
    rows = pick(scores, axis=0)
    found: Ints = np.where(np.isfinite(scores[rows, np.arange(scores.shape[1])]), rows + offset, -1)
    return found


def _table(
    embeddings: Floats, clusters: Ints, task: Candidates, blocks: list[tuple[Ints, Ints]], each: Map
) -> QuintupletTable:
    anchors = np.concatenate([here for here, _ in blocks] or [np.empty(0, np.int64)])
    chosen = np.concatenate([segments for _, segments in blocks] or [np.empty((4, 0), np.int64)], axis=1)
    order = np.argsort(anchors)
    anchors, chosen = anchors[order], chosen[:, order]
    plus, minus, far, negative = each(
        lambda partner: _positions(embeddings, task, anchors, chosen[partner], nearest=partner in (P_MINUS, NEGATIVE)),
        range(4),
    )
    has_other_cluster = chosen[P_MINUS] >= 0
    minus = np.where(has_other_cluster, minus, far)
    members = np.stack([anchors, plus, minus, far, negative], axis=1)
    return QuintupletTable(members, has_other_cluster, clusters[anchors])


def _positions(embeddings: Floats, task: Candidates, anchors: Ints, segments: Ints, *, nearest: bool) -> Ints:
    """The nearest or farthest candidate of each anchor in its segment; the anchor itself where that is −1."""
    positions = anchors.copy()
    order = np.argsort(segments, kind="stable")
    for run in runs(segments[order]):
        segment = int(segments[order[run.start]])
        if segment < 0:
            continue
        members = task.positions[task.starts[segment] : task.starts[segment + 1]]
        points = embeddings[members].astype(np.float64)
        half_norms = 0.5 * np.einsum("cd,cd->c", points, points)
        for start in range(run.start, run.stop, 16 * BLOCK):
            here = order[start : min(start + 16 * BLOCK, run.stop)]
            scores = embeddings[anchors[here]].astype(np.float64) @ points.T
            scores -= half_norms
            # In double precision and then rounded, equals stay equal whatever else is in the product.
            rounded = scores.astype(np.float32)
            if nearest:
                positions[here] = members[np.argmax(rounded, axis=1)]
            else:
                rounded[anchors[here][:, None] == members] = np.inf
                positions[here] = members[np.argmin(rounded, axis=1)]
    return positions
