"""A table of labels, and the images in a directory, zip or tar, or in the cells of parquet files."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import AfterValidator, Field

from longtail.data.dataset import Task
from longtail.data.preprocessing import Fit
from longtail.errors import DataError
from longtail.sources.classes import check_task_name, class_name, found_classes, look, make_task, without_empty_classes
from longtail.sources.collection import Collection, Pixels, Request, Source
from longtail.sources.decoding import decode, read_bytes
from longtail.sources.files import open_files
from longtail.sources.lookup import around
from longtail.sources.parquet import ImageCells, RowGroups, Shard
from longtail.sources.quoting import listed, shown
from longtail.sources.rows import LabelColumn, Rows
from longtail.sources.spool import blocks, spool
from longtail.sources.subsets import subset_named, subset_of_shard
from longtail.sources.table_files import find_tables
from longtail.sources.tabular import Table, read_csv, require


def _one_character(text: str) -> str:
    """A separator as the csv module takes it; YAML leaves '\\t' in single quotes as a backslash and a t."""
    separator = "\t" if text == r"\t" else text
    if len(separator) != 1 or separator in '"\r\n\0':
        raise ValueError(f'must be one character, as "," or ";" or "\\t" for a tab, and is {text!r}')
    return separator


@dataclass(frozen=True)
class _Part:
    """The good rows of one table, where each is to be found, and how to read the image of the i-th."""

    table: Table
    samples: pd.DataFrame
    places: list[str]
    read: Callable[[int], bytes]


class LabelTable(Source):
    """A CSV or parquet `table` in the directory, zip or tar at `path` (relative to the data).

    The image of a row is `<images>/<cell of the column image><suffix>`; `images` is a folder inside `path`, or an
    archive there. Two rows for one image are a problem of the second. Without `group`, every image is its own group.
    Every image needs a row, except those that match a pattern of `ignore`.

    A parquet file may hold the images themselves in the column `image`, as Hugging Face's `datasets` writes them. Then
    `table` may be a pattern of several such files; those named `train-00000-of-00002.parquet` and so on are official
    subsets, and classes have the names that the files declare.
    """

    kind: Literal["table"]
    path: str = "."
    table: str
    separator: Annotated[str, AfterValidator(_one_character)] = Field(",", description="of a CSV, one character")
    images: str = "."
    suffix: str = Field("", description="appended to each image's name")
    image: str = "image"
    labels: list[LabelColumn] = Field(description="a task a column")
    group: str | None = None
    subset: str | None = Field(None, description="column of official subsets: train, validation, test, or empty")
    ignore: list[str] = Field(default_factory=list)
    fit: Fit = "stretch"
    licence: str = Field("not stated", description="of the images; the report and MLflow show it")

    def load(self, root: Path, request: Request) -> Collection:
        """See `Source.load`."""
        self._check_tasks()
        base, contents = find_tables(root / self.path, self.table, request)
        shards = [Shard(name, content) for name, content in contents.items() if Shard.is_one(name)]
        if shards and all(shard.holds_images(self.image) for shard in shards):
            groups = RowGroups(self.image, request.workers)
            parts = [self._with_images(shard, groups, request) for shard in shards]
        elif len(contents) > 1:
            raise DataError(f"{self.table} names {listed(contents)}: several tables need images in the column `image`")
        else:
            parts = [self._beside_images(base, *next(iter(contents.items())), request)]
        self._say_unused([part.table for part in parts])
        if any(part.table.classes != parts[0].table.classes for part in parts):
            raise DataError(f"the files {listed(contents)} declare different classes; read one kind of them alone")
        ends = np.cumsum([len(part.samples) for part in parts])

        def read(i: int) -> Pixels:
            part = int(np.searchsorted(ends, i, side="right"))
            data = read_bytes(parts[part].read, i - int(ends[part]) + len(parts[part].samples))
            return decode(data, request.image_shape, self.fit, request.deep_grey)

        pixels, good = spool(read, [place for part in parts for place in part.places], request)
        samples = pd.concat([part.samples for part in parts], ignore_index=True)[good]
        tasks = [self._task(label, samples, parts[0].table, request) for label in self.labels]
        provenance = f"table {self.table} of {shown(base.name)}, {sum(len(part.table.rows) for part in parts)} rows"
        return Collection(samples, tasks, blocks(pixels, good), provenance, self.licence, fit=self.fit)

    def _check_tasks(self) -> None:
        names = [label.task for label in self.labels]
        if len(set(names)) != len(names) or not names:
            raise DataError(
                f"{self.table}: give at least one label column, and each task another `name` ({listed(names)})"
            )
        for name in names:
            check_task_name(name)

    def _say_unused(self, tables: list[Table]) -> None:
        """Warn of values that count as missing, or drop a row, and are in no cell: another may be meant."""
        for label in self.labels:
            values = {value for table in tables for value in table.rows[label.column].unique()}
            alike = {look(value): value for value in values if value}
            for value in [*label.missing, *label.drop]:
                if value not in values:
                    near = alike.get(look(value))
                    hint = f"; did you mean {shown(near)!r}?" if near else ""
                    said = f"{self.table}: no cell of the column {label.column!r} is {shown(value)!r}{hint}"
                    print(f"warning: {said}", file=sys.stderr)

    def _columns(self) -> list[str]:
        columns = [*(label.column for label in self.labels), self.group, self.subset]
        return list(dict.fromkeys(column for column in columns if column))

    def _with_images(self, shard: Shard, groups: RowGroups, request: Request) -> _Part:
        rows = self._rows(shard.read(self._columns()), request)
        table, numbers = rows.table, rows.left.index.tolist()
        cells = ImageCells(shard, groups)
        places = [table.place(number) for number in numbers]
        ids = pd.Series(places, index=rows.left.index, dtype=object)
        samples = self._samples(rows.left, ids, ids)
        if not self.subset:
            samples["subset"] = subset_of_shard(shard.name)
        return _Part(table, samples, places, lambda i: cells.read(numbers[i]))

    def _beside_images(self, base: Path, name: str, content: str | bytes, request: Request) -> _Part:
        columns = [self.image, *self._columns()]
        if Shard.is_one(name):
            table = Shard(name, content).read(columns)
        else:
            assert isinstance(content, bytes)
            table = read_csv(content, name, self.separator, request.problems)
            require(columns, list(table.rows.columns), name)
        rows = self._rows(table, request)
        files = around(open_files(base / self.images, request), table.rows[self.image] + self.suffix)
        files.report_faults(request.problems, self.ignore)
        names = rows.find_files(self.image, self.suffix, files, [*self.ignore, name])
        found = names.tolist()
        places = [f"{table.place(row)}: {files.path}/{file}" for row, file in zip(names.index, found, strict=True)]
        samples = self._samples(rows.left, rows.left[self.image], names)
        return _Part(table, samples, places, lambda i: files.read(found[i]))

    def _rows(self, table: Table, request: Request) -> Rows:
        for column in {*(label.column for label in self.labels), *([self.group] if self.group else [])}:
            values = table.rows[column]
            table.rows[column] = values.map({value: class_name(value) for value in values.unique()}).astype(object)
        rows = Rows(table, request.problems)
        rows.drop(self.labels)
        rows.check(self.labels, self.subset)
        return rows

    def _samples(self, rows: pd.DataFrame, ids: "pd.Series[str]", sources: "pd.Series[str]") -> pd.DataFrame:
        samples = pd.DataFrame({"id": ids, "source": sources}, dtype=object)
        # A row without a group must not share one with the other rows without.
        groups = rows[self.group] if self.group else ids
        samples["group"] = groups.where(groups != "", "ungrouped " + ids)
        samples["subset"] = rows[self.subset].map(subset_named) if self.subset else None
        for label in self.labels:
            values = rows[label.column]
            samples[label.task] = values.where(~values.isin(["", *label.missing]), None)
        return samples

    def _task(self, label: LabelColumn, samples: pd.DataFrame, table: Table, request: Request) -> Task:
        place = f"{table.name}, column {label.column!r}"
        classes = label.classes
        if classes is None and label.column in table.classes:
            classes = [name for name in table.classes[label.column] if name not in {*label.missing, *label.drop}]
        if classes is None:
            classes = found_classes(samples[label.task].dropna(), place)
        task = make_task(label.task, classes, label.background)
        return without_empty_classes(samples, task, place, request.problems)
