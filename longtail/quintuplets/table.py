"""What a quintuplet table is; its parts, merged; and how it lies on disk."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from longtail.artifacts.reading import read_array, read_json, write_json

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class QuintupletTable:
    """`members` (anchors, 5): positions of anchor, p+, p−, p−−, n, anchors rising. `has_other_cluster` (anchors,):
    False where the class has no candidate outside the anchor's cluster; then the hinges on p− are off and `members`
    repeats p−−.
    """

    members: Ints
    has_other_cluster: Bools

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


def merge(parts: Iterable[QuintupletTable]) -> QuintupletTable:
    """The table that the parts make, whatever their order."""
    all_parts = [QuintupletTable(np.empty((0, 5), np.int64), np.empty(0, bool)), *parts]
    members = np.concatenate([part.members for part in all_parts])
    order = np.argsort(members[:, 0])
    return QuintupletTable(members[order], np.concatenate([part.has_other_cluster for part in all_parts])[order])


def save_tables(path: Path, tables: dict[str, QuintupletTable]) -> None:
    """Write one table a task into the directory `path`."""
    path.mkdir(parents=True, exist_ok=True)
    write_json(path / "tasks.json", list(tables))
    for task, table in tables.items():
        np.save(path / f"members-{task}.npy", table.members, allow_pickle=False)
        np.save(path / f"has_other_cluster-{task}.npy", table.has_other_cluster, allow_pickle=False)


def load_tables(path: Path) -> dict[str, QuintupletTable]:
    """The tables that `save_tables` wrote, by task."""
    return {
        task: QuintupletTable(
            read_array(path / f"members-{task}.npy"),
            read_array(path / f"has_other_cluster-{task}.npy"),
        )
        for task in read_json(path / "tasks.json")
    }
