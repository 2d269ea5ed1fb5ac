"""Parquet files of labels, and of images in their cells as Hugging Face's `datasets` writes them."""

import io
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from numbers import Integral
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from longtail.errors import DataError
from longtail.sources.classes import class_name
from longtail.sources.quoting import shown
from longtail.sources.tabular import Table, require

UNREADABLE = (OSError, ValueError, KeyError, NotImplementedError, pa.ArrowException)


@dataclass(frozen=True)
class Shard:
    """A parquet file: `content` is its path, or its bytes where it comes out of an archive."""

    name: str
    content: str | bytes

    @staticmethod
    def is_one(name: str) -> bool:
        """Whether a file's name says that it is a parquet file."""
        return PurePosixPath(name).suffix.lower() in (".parquet", ".pq")

    def open(self) -> pq.ParquetFile:
        """Raises DataError if it is no parquet file."""
        try:
            return pq.ParquetFile(io.BytesIO(self.content) if isinstance(self.content, bytes) else self.content)
        except UNREADABLE as error:
            raise DataError(f"{self.name} is not a readable parquet file: {shown(error)}") from error

    def holds_images(self, column: str) -> bool:
        """Whether the cells of a column hold the bytes of images: as such, or in a field `bytes` beside others."""
        schema = self.open().schema_arrow
        kind = schema.field(column).type if column in schema.names else pa.null()
        return _binary(kind) or (pa.types.is_struct(kind) and "bytes" in {field.name for field in kind})

    def read(self, columns: list[str]) -> Table:
        """The columns as text. Codes that the file names (ClassLabel of `datasets`) are given by their names."""
        file = self.open()
        schema = file.schema_arrow
        require(columns, schema.names, self.name)
        for column in columns:
            if pa.types.is_nested(schema.field(column).type) or _binary(schema.field(column).type):
                kind = shown(schema.field(column).type)
                raise DataError(f"{self.name}: the column {column!r} holds {kind}, neither text nor numbers")
        names = {column: found for column, found in _class_labels(schema).items() if column in columns}
        try:
            # Nullable types, so that a column of integers with a gap stays one of integers.
            rows = file.read(columns=columns).to_pandas(types_mapper=_nullable, ignore_metadata=True)
        except UNREADABLE as error:
            raise DataError(f"{self.name} is not a readable parquet file: {shown(error)}") from error
        if len(rows) != file.metadata.num_rows:
            said = f"it says {file.metadata.num_rows} rows and has {len(rows)}"
            raise DataError(f"{self.name} is not a readable parquet file: {said}")
        text = pd.DataFrame({column: _text(rows[column], names.get(column)) for column in columns}, dtype=object)
        return Table(self.name, "row", text.set_axis(range(1, file.metadata.num_rows + 1)), names)


class RowGroups:
    """The row groups of a column's images that are in memory: one a worker, and one more, of all shards together. No
    file stays open.
    """

    def __init__(self, column: str, workers: int) -> None:
        self._column, self._lock = column, threading.Lock()
        self._read: Callable[[Shard, int], Any] = lru_cache(maxsize=workers + 1)(self._read_anew)

    def read(self, shard: Shard, group: int) -> Any:
        """The cells of a row group. Raises OSError if the file does not give them."""
        with self._lock:
            try:
                return self._read(shard, group)
            except (*UNREADABLE, DataError) as error:
                raise OSError(f"the row group is broken: {error}") from error

    def _read_anew(self, shard: Shard, group: int) -> Any:
        with shard.open() as file:
            cells = file.read_row_group(group, columns=[self._column]).column(0)
            said = file.metadata.row_group(group).num_rows
        if len(cells) != said:
            raise ValueError(f"it says {said} rows and has {len(cells)}")
        return pc.struct_field(cells, "bytes") if pa.types.is_struct(cells.type) else cells


class ImageCells:
    """The images in the cells of a shard's column, by row from 1."""

    def __init__(self, shard: Shard, groups: RowGroups) -> None:
        self._shard, self._groups = shard, groups
        with shard.open() as file:
            sizes = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
        self._ends = np.cumsum(sizes)

    def read(self, row: int) -> bytes:
        """The bytes of an image; none where the cell is empty. Raises OSError if the file does not give them."""
        group = int(np.searchsorted(self._ends, row - 1, side="right"))
        cells = self._groups.read(self._shard, group)
        return cells[row - 1 - int(self._ends[group]) + len(cells)].as_py() or b""


def _binary(kind: Any) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _nullable(kind: Any) -> Any:
    """pandas' type for a column of integers or booleans."""
    if pa.types.is_integer(kind):
        return pd.Int64Dtype() if pa.types.is_signed_integer(kind) else pd.UInt64Dtype()
    return pd.BooleanDtype() if pa.types.is_boolean(kind) else None


def _text(cells: "pd.Series[Any]", names: list[str] | None) -> "pd.Series[str]":
    def text(cell: Any) -> str:
        if pd.isna(cell):
            return ""
        # pandas writes integers with a gap as 3.0, which is 3 in another shard, and the code 3 of a class.
        whole = int(cell) if isinstance(cell, float | np.floating | Decimal) and cell % 1 == 0 else cell
        code = int(whole) if isinstance(whole, Integral) else None
        if names is not None and code is not None and -1 <= code < len(names):
            return names[code] if code >= 0 else ""  # −1: a subset without labels
        return str(whole)

    return cells.astype(object).map(text)


def _class_labels(schema: Any) -> dict[str, list[str]]:
    """The class names that `datasets` has written into the schema, by column."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        labels = {name: one["names"] for name, one in features.items() if one.get("_type") == "ClassLabel"}
        return {name: [class_name(one) for one in names] for name, names in labels.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
