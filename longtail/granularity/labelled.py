"""A labelled set, class by class."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from longtail.granularity.distance import BLOCK, Distance, Floats, Ints, blocks, least


@dataclass(frozen=True)
class Labelled:
    """The n samples that have a label, sorted by class: their `positions` (n,), where each of the k classes that have
    samples begins, `starts` (k,), its `sizes` (k,) and its class code, `codes` (k,).
    """

    positions: Ints
    starts: Ints
    sizes: Ints
    codes: Ints

    @classmethod
    def of(cls, labels: Ints) -> Self:
        """From class codes (samples,), −1 where the label is missing."""
        order = np.argsort(labels, kind="stable")
        order = order[labels[order] >= 0]
        codes, starts, sizes = np.unique(labels[order], return_index=True, return_counts=True)
        return cls(order.astype(np.int64), starts.astype(np.int64), sizes.astype(np.int64), codes.astype(np.int64))

    @property
    def classes(self) -> Ints:
        """The place of each sample's class among the k (n,)."""
        return np.repeat(np.arange(len(self.codes)), self.sizes)

    @property
    def accompanied(self) -> npt.NDArray[np.bool_]:
        """Which samples are not alone in their class (n,)."""
        return np.repeat(self.sizes > 1, self.sizes)

    def members(self, place: int) -> Ints:
        """The positions of the samples of one of the k classes."""
        start = self.starts[place]
        return self.positions[start : start + self.sizes[place]]

    def rows(self, columns: int) -> Iterator[slice]:
        """Slices of the n samples, of which a block with so many columns fits into memory."""
        return blocks(len(self.positions), max(1, BLOCK // columns))


def medoids(distance: Distance, labelled: Labelled) -> Ints:
    """Of each class the position of the sample of least mean distance to the others, of equals the first (k,).

    Takes the square of each class's size in distances, in blocks.
    """
    return np.array([_medoid(distance, labelled.members(place)) for place in range(len(labelled.codes))], np.int64)


def _medoid(distance: Distance, members: Ints) -> int:
    sums: Floats = np.empty(len(members))
    for part in blocks(len(members), max(1, BLOCK // len(members))):
        sums[part] = distance(members[part], members).sum(1)
    return int(members[least(sums)])
