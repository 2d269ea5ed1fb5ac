"""A table of image names with one or many label columns, and the images in a directory, zip or tar."""

from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import BaseModel, Field

from longtail.data.dataset import Task
from longtail.errors import DataError
from longtail.sources.classes import ClassName, check_task_name, make_task, ordered, without_empty_classes
from longtail.sources.collection import SUBSET_NAMES, Collection, Request, Source
from longtail.sources.decoding import Fit, blocks, has_image_suffix, spool_files
from longtail.sources.files import Files, open_files
from longtail.sources.problems import Problems
from longtail.sources.tabular import Table, read_table


class LabelColumn(BaseModel, extra="forbid"):
    """One task: its column, and its name if another. Without `classes`, they are the values found, sorted.

    An empty cell and the values of `missing` are missing labels; a row with a value of `drop` is left out.
    """

    column: str
    name: str | None = None
    classes: list[ClassName] | None = None
    missing: list[ClassName] = []
    drop: list[ClassName] = []
    background: ClassName | None = None

    @property
    def task(self) -> str:
        """The name of the task."""
        return self.name or self.column


class LabelTable(Source):
    """A CSV or parquet `table` in the directory, zip or tar at `path` (relative to the data).

    The image of a row is `<images>/<cell of the column image><suffix>`; `images` is a folder inside `path`, or an
    archive there. Two rows for one image are a problem of the second. Without `group`, every image is its own group.
    Every image needs a row, except those that match a pattern of `ignore`.
    """

    kind: Literal["table"]
    path: str = "."
    table: str
    separator: str = ","
    images: str = "."
    suffix: str = ""
    image: str = "image"
    labels: list[LabelColumn]
    group: str | None = None
    subset: str | None = None
    ignore: list[str] = Field(default_factory=list)
    fit: Fit = "stretch"
    licence: str = "not stated"

    def load(self, root: Path, request: Request) -> Collection:
        """See `Source.load`."""
        here = open_files(root / self.path, request.scratch)
        table = self._read(here, request.problems)
        archive = root / self.path / self.images
        files = open_files(archive, request.scratch) if archive.is_file() else here.below(self.images)
        rows = _Checker(self, table, files, request.problems).good_rows()
        names = (rows[self.image] + self.suffix).tolist()
        places = [
            f"{table.place(int(line))}: {files.path}/{name}" for line, name in zip(rows.index, names, strict=True)
        ]
        pixels, good = spool_files(files, names, places, request, self.fit)
        samples = self._samples(rows[good])
        tasks = [self._task(label, samples, table, request.problems) for label in self.labels]
        provenance = f"table {self.table} of {here.path.name}, {len(table.rows)} rows"
        return Collection(samples, tasks, blocks(pixels, good), provenance, self.licence)

    def _read(self, here: Files, problems: Problems) -> Table:
        if self.table not in here.names:
            raise DataError(f"no table {self.table!r} in {here.path}")
        names = [label.task for label in self.labels]
        if len(set(names)) != len(names) or not names:
            raise DataError(f"{self.table}: give at least one label column, and each task another `name` ({names})")
        for name in names:
            check_task_name(name)
        table = read_table(here.read(self.table), self.table, self.separator, problems)
        extra = [column for column in (self.group, self.subset) if column]
        table.require([self.image, *(label.column for label in self.labels), *extra])
        return table

    def _samples(self, rows: pd.DataFrame) -> pd.DataFrame:
        samples = pd.DataFrame({"id": rows[self.image], "source": rows[self.image] + self.suffix})
        # A row without a group must not share one with the other rows without.
        groups = rows[self.group] if self.group else rows[self.image]
        samples["group"] = groups.where(groups != "", "ungrouped " + rows[self.image])
        samples["subset"] = rows[self.subset].map(SUBSET_NAMES) if self.subset else None
        for label in self.labels:
            values = rows[label.column]
            samples[label.task] = values.where(~values.isin(["", *label.missing]), None)
        return samples

    def _task(self, label: LabelColumn, samples: pd.DataFrame, table: Table, problems: Problems) -> Task:
        classes = label.classes if label.classes is not None else ordered(samples[label.task].dropna())
        place = f"{table.name}, column {label.column!r}"
        return without_empty_classes(samples, make_task(label.task, classes, label.background), place, problems)


@dataclass
class _Checker:
    source: LabelTable
    table: Table
    files: Files
    problems: Problems

    def good_rows(self) -> pd.DataFrame:
        """The rows without a problem; those to drop are counted, every other bad row is reported."""
        rows = self.table.rows
        all_rows, rows = rows, self._dropped(rows)
        bad = self._duplicates(rows) | self._without_file(rows) | self._unknown_subsets(rows)
        for label in self.source.labels:
            bad |= self._unknown_classes(rows, label)
        self._orphans(all_rows)
        return rows[[line not in bad for line in rows.index]]

    def _dropped(self, rows: pd.DataFrame) -> pd.DataFrame:
        drop = pd.Series(False, index=rows.index)
        for label in self.source.labels:
            drop |= rows[label.column].isin(label.drop)
        self.problems.drop("dropped by value", int(drop.sum()))
        return rows[~drop]

    def _report(self, rows: pd.DataFrame, mask: "pd.Series[bool]", reason: str, details: "pd.Series[str]") -> set[int]:
        lines = [int(line) for line in rows.index[mask]]
        for line in lines:
            self.problems.add(reason, self.table.place(line), str(details[line]))
        return set(lines)

    def _duplicates(self, rows: pd.DataFrame) -> set[int]:
        image = rows[self.source.image]
        first = pd.Series(rows.index, index=rows.index).groupby(image).transform("first")
        details = image + ", first on " + self.table.unit + " " + first.astype(str)
        return self._report(rows, image.duplicated() & (image != ""), "two rows for one id", details)

    def _without_file(self, rows: pd.DataFrame) -> set[int]:
        names = rows[self.source.image] + self.source.suffix
        missing = ~names.isin(self.files.names) | (rows[self.source.image] == "")
        return self._report(rows, missing, "row without its file", f"{self.files.path}/" + names)

    def _unknown_subsets(self, rows: pd.DataFrame) -> set[int]:
        if self.source.subset is None:
            return set()
        values = rows[self.source.subset]
        return self._report(rows, ~values.isin(["", *SUBSET_NAMES]), "unknown subset", values)

    def _unknown_classes(self, rows: pd.DataFrame, label: LabelColumn) -> set[int]:
        if label.classes is None:
            return set()
        values = rows[label.column]
        unknown = ~values.isin(["", *label.missing, *label.classes])
        details = label.column + ": " + values
        return self._report(rows, unknown, "label outside the declared classes", details)

    def _orphans(self, rows: pd.DataFrame) -> None:
        known = {*(rows[self.source.image] + self.source.suffix), self.source.table}
        for name in self.files.names:
            ignored = any(fnmatch(name, pattern) for pattern in self.source.ignore)
            if name not in known and has_image_suffix(name) and not ignored:
                self.problems.add(
                    "file without a row", f"{self.files.path}/{name}", f"no row of {self.table.name} names it"
                )
