"""What a quintuplet table is; its parts, merged; and how it lies on disk."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from longtail.artifacts.reading import read_array, read_json, write_json

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class QuintupletTable:
    """`members` (anchors, 5): positions of anchor, p+, p−, p−−, n, anchors rising. `has_other_cluster` (anchors,):
    False where the class has no candidate outside the anchor's cluster; then the hinges on p− are off and `members`
    repeats p−−. `clusters` (anchors,): the cluster of each anchor, numbered over all classes.
    """

    members: Ints
    has_other_cluster: Bools
    clusters: Ints

    def rows(self, anchors: Ints) -> Ints:
        """The row of each of these anchors, all of which the table has."""
        return np.searchsorted(self.members[:, 0], anchors)


@dataclass(frozen=True)
class Part:
    """Part `number`, from 0, of `of` parts of a table: each can be made elsewhere, and together they are the table."""

    number: int
    of: int

    def share(self, count: int) -> range:
        """This part's of `count` things in order: parts follow each other and differ by one thing at most."""
        return range(self.number * count // self.of, (self.number + 1) * count // self.of)


WHOLE = Part(0, 1)
COLUMNS = tuple(field.name for field in fields(QuintupletTable))  # each a file of every task


def merge(parts: Iterable[QuintupletTable]) -> QuintupletTable:
    """The table that the parts make, whatever their order."""
    nothing = QuintupletTable(np.empty((0, 5), np.int64), np.empty(0, bool), np.empty(0, np.int64))
    all_parts = [nothing, *parts]
    joined = [np.concatenate([getattr(part, name) for part in all_parts]) for name in COLUMNS]
    order = np.argsort(joined[0][:, 0])
    return QuintupletTable(*(column[order] for column in joined))


def save_tables(path: Path, tables: dict[str, QuintupletTable]) -> None:
    """Write one table a task into the directory `path`."""
    path.mkdir(parents=True, exist_ok=True)
    write_json(path / "tasks.json", list(tables))
    for task, table in tables.items():
        for column in COLUMNS:
            np.save(path / f"{column}-{task}.npy", getattr(table, column), allow_pickle=False)


def load_tables(path: Path) -> dict[str, QuintupletTable]:
    """The tables that `save_tables` wrote, by task."""
    return {
        task: QuintupletTable(*(read_array(path / f"{column}-{task}.npy") for column in COLUMNS))
        for task in read_json(path / "tasks.json")
    }


def save_centroids(path: Path, task: str, centroids: Floats) -> None:
    """Write beside the table of a task the centroid of each cluster, (clusters, d)."""
    np.save(path / f"centroids-{task}.npy", centroids, allow_pickle=False)


def load_centroids(path: Path, task: str) -> Floats:
    """The centroids that `save_centroids` wrote, (clusters, d) on the unit sphere."""
    return read_array(path / f"centroids-{task}.npy")
