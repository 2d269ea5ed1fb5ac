"""The scores of candidates for anchors, reduced segment by segment.

The score of a candidate c for an anchor a is a·c − |c|²/2 = (|a|² − D) / 2: the nearest candidate scores highest.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
import numpy.typing as npt

from longtail.quintuplets.candidates import Candidates

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
# Of one task the greatest and the least score in each segment for each anchor of a block, both segments×anchors.
Extremes = tuple[Floats, Floats]

TILE = 2048  # rows whose scores for a block of anchors are reduced while they are in the cache


@dataclass(frozen=True)
class Tile:
    """Rows of the product that are reduced together; for each segment in them: of which task, which one, its rows."""

    rows: slice
    segments: list[tuple[int, int, slice | Ints]]

    def __len__(self) -> int:
        return int(self.rows.stop - self.rows.start)


@dataclass(frozen=True)
class Product:
    """One side of the product. `rows` (r, d + 1): the candidates' embeddings and −|c|²/2; `row_of` (n,): the row of
    each sample, −1 of what is no candidate; `order`: for each task the rows of its candidates; `tiles`: how the
    scores are reduced.

    One task has the rows in its own order, and every segment is a range. Several tasks share them, and their segments
    lie scattered: then all rows are one tile.
    """

    rows: Floats
    row_of: Ints
    candidates: list[Candidates]
    order: list[Ints]
    tiles: list[Tile]

    @classmethod
    def of(cls, embeddings: Floats, candidates: list[Candidates]) -> Self:
        """The product for the candidates of one task, or of several that share the embeddings (n, d)."""
        alone = len(candidates) == 1
        positions = candidates[0].positions if alone else np.unique(np.concatenate([c.positions for c in candidates]))
        row_of = np.full(len(embeddings), -1, np.int64)
        row_of[positions] = np.arange(len(positions))
        rows = np.empty((len(positions), embeddings.shape[1] + 1), np.float32)
        rows[:, :-1] = embeddings[positions]
        rows[:, -1] = -0.5 * np.einsum("rd,rd->r", rows[:, :-1], rows[:, :-1])
        order = [row_of[task.positions] for task in candidates]
        tiles = list(_tiles(candidates[0].starts)) if alone else [_shared_tile(len(rows), candidates, order)]
        return cls(rows, row_of, candidates, order, tiles)


def _tiles(starts: Ints) -> Iterator[Tile]:
    """Whole segments, together at most TILE rows."""
    first = 0
    while first < len(starts) - 1:
        last = max(first + 1, int(np.searchsorted(starts, starts[first] + TILE, side="right")) - 1)
        bounds = (starts[first : last + 1] - starts[first]).tolist()
        ranges = [slice(*bound) for bound in pairwise(bounds)]
        segments: list[tuple[int, int, slice | Ints]] = [(0, first + s, rows) for s, rows in enumerate(ranges)]
        yield Tile(slice(int(starts[first]), int(starts[last])), segments)
        first = last


def _shared_tile(rows: int, candidates: list[Candidates], order: list[Ints]) -> Tile:
    segments: list[tuple[int, int, slice | Ints]] = []
    for number, task in enumerate(candidates):
        segments += [(number, s, of_segment) for s, of_segment in enumerate(np.split(order[number], task.starts[1:-1]))]
    return Tile(slice(0, rows), segments)


def reduce_on_cpu(product: Product, block: Floats, here: Ints, asked: list[slice]) -> list[Extremes]:
    """The extremes of each task's segments for a block of anchors: their embeddings (b, d) and positions (b,).

    `asked`: for each task the segments whose least scores are asked for; the others' mean nothing. An anchor is no
    partner of its own, so in the cluster that it is in itself only the least score means anything.
    """
    columns = np.ones((block.shape[1] + 1, len(block)), np.float32)
    columns[:-1] = block.T
    result = [_empty(len(task), len(here)) for task in product.candidates]
    space = np.empty((max(map(len, product.tiles)), len(here)), np.float32)
    itself = product.row_of[here]
    for tile in product.tiles:
        scores = np.matmul(product.rows[tile.rows], columns, out=space[: len(tile)])
        inside = np.flatnonzero((itself >= tile.rows.start) & (itself < tile.rows.stop))
        scores[itself[inside] - tile.rows.start, inside] = np.inf
        for task, segment, rows in tile.segments:
            of_segment = scores[rows]
            greatest, least = result[task]
            np.maximum.reduce(of_segment, axis=0, out=greatest[segment])
            if asked[task].start <= segment < asked[task].stop:
                np.minimum.reduce(of_segment, axis=0, out=least[segment])
    return result


def _empty(segments: int, anchors: int) -> Extremes:
    return np.empty((segments, anchors), np.float32), np.empty((segments, anchors), np.float32)
