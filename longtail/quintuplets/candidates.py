"""The candidates in the order in which every mask of the quintuplet table is a range.

Sorted by class and cluster, and cut into segments of at most SEGMENT candidates of one cluster, a cluster is a range of
segments, and so is a class. The greatest and the least score of every segment then say all that the masks ask for.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from longtail.errors import DataError

Ints = npt.NDArray[np.int64]

SEGMENT = 256  # candidates: few enough to search a segment again for the position of its extreme


@dataclass(frozen=True)
class Task:
    """What a table is made of: `labels` (n,) class codes, −1 where there is none; `clusters` (n,) the cluster of each
    labelled sample; `pool` the candidates and `anchors` the anchors, both as rising positions.
    """

    labels: Ints
    clusters: Ints
    pool: Ints
    anchors: Ints

    @cached_property
    def span(self) -> int:
        """What class codes are multiplied by in keys."""
        return int(self.clusters.max()) + 1

    def keys(self, positions: Ints) -> Ints:
        """For each of the labelled samples a number of its class and cluster that sorts by class first."""
        keys: Ints = self.labels[positions] * self.span + self.clusters[positions]
        return keys

    def check(self) -> None:
        """Raise DataError if the candidates are of fewer than two classes, or none is of an anchor's class."""
        classes = np.unique(self.labels[self.pool])
        if len(classes) < 2 or not np.isin(self.labels[self.anchors], classes).all():
            raise DataError(
                f"quintuplets need candidates of two classes at least, and of every anchor's; here are {len(classes)} "
                "classes among the candidates"
            )


@dataclass(frozen=True)
class Candidates:
    """`positions` (c,): segment s has `positions[starts[s]:starts[s + 1]]`, all of the cluster with key `keys[s]`."""

    positions: Ints
    starts: Ints
    keys: Ints
    span: int

    @classmethod
    def of(cls, task: Task) -> "Candidates":
        """The candidates of a task. Within a cluster they keep their order."""
        keys = task.keys(task.pool)
        order = np.argsort(keys, kind="stable")
        positions, keys = task.pool[order], keys[order]
        within = np.concatenate([np.arange(run.stop - run.start) for run in runs(keys)])
        starts = np.flatnonzero(within % SEGMENT == 0)
        return cls(positions, np.append(starts, len(positions)), keys[starts], task.span)

    def cluster(self, key: int) -> slice:
        """The segments of a cluster; none of a cluster without candidates."""
        return slice(*np.searchsorted(self.keys, [key, key + 1]).tolist())

    def cluster_class(self, key: int) -> slice:
        """The segments of the class of a cluster."""
        code = key // self.span
        return slice(*np.searchsorted(self.keys, [code * self.span, (code + 1) * self.span]).tolist())

    def classes(self, keys: Ints) -> slice:
        """The segments of the classes from the first to the last of those clusters; a key of −1 is of none."""
        known = keys[keys >= 0]
        if not len(known):
            return slice(0, 0)
        return slice(self.cluster_class(int(known.min())).start, self.cluster_class(int(known.max())).stop)

    def __len__(self) -> int:
        return len(self.keys)


def runs(values: Ints) -> Iterator[slice]:
    """The runs of equal values."""
    cuts = [0, *(np.flatnonzero(values[1:] != values[:-1]) + 1).tolist(), len(values)]
    return (slice(a, b) for a, b in pairwise(cuts) if a < b)
