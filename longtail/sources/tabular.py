"""A CSV or parquet table as text, each row with the line at which a person finds it."""

import csv
import difflib
import io
from dataclasses import dataclass
from pathlib import PurePosixPath

import pandas as pd

from longtail.errors import DataError
from longtail.sources.problems import Problems


@dataclass(frozen=True)
class Table:
    """`rows` holds text only ("" where a cell is empty); its index is the line (CSV) or the row (parquet), from 1."""

    name: str
    unit: str
    rows: pd.DataFrame

    def place(self, number: int) -> str:
        """How a person finds the row: `labels.csv, line 7`."""
        return f"{self.name}, {self.unit} {number}"

    def require(self, columns: list[str]) -> None:
        """Raise DataError for a column that is not there, with those that are."""
        for column in columns:
            if column not in self.rows.columns:
                near = difflib.get_close_matches(column, list(self.rows.columns), 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise DataError(f"{self.name} has no column {column!r}{hint} (it has {list(self.rows.columns)})")


def read_table(data: bytes, name: str, separator: str, problems: Problems) -> Table:
    """Parse a table by its suffix: .parquet or .pq, else CSV in UTF-8 with a header on line 1.

    A CSV row with too many or too few cells is a problem. Raises DataError for what cannot be parsed or has no row.
    """
    parquet = PurePosixPath(name).suffix.lower() in (".parquet", ".pq")
    table = _read_parquet(data, name) if parquet else _read_csv(data, name, separator, problems)
    if table.rows.empty and not problems.found:
        raise DataError(f"{name} has no row")
    return table


def _read_parquet(data: bytes, name: str) -> Table:
    try:
        # Nullable types, so that a column of integers with a gap stays one of integers.
        rows = pd.read_parquet(io.BytesIO(data), dtype_backend="numpy_nullable")
    except (OSError, ValueError) as error:
        raise DataError(f"{name} is not a readable parquet file: {error}") from error
    text = rows.astype(object).map(lambda cell: "" if pd.isna(cell) else str(cell))
    return Table(name, "row", text.set_axis(range(1, len(text) + 1)))


def _read_csv(data: bytes, name: str, separator: str, problems: Problems) -> Table:
    lines, cells = [], []
    try:
        reader = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), delimiter=separator, strict=True)
        header = next(reader, [])
        _check_header(header, name)
        start = reader.line_num + 1
        for row in reader:
            if len(row) == len(header):
                lines.append(start)
                cells.append(row)
            elif row:  # a blank line is no row
                problems.add("broken row", f"{name}, line {start}", f"{len(row)} cells, the header has {len(header)}")
            start = reader.line_num + 1
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError(f"{name}, line {line}: not UTF-8 text ({error.reason}); save the table as UTF-8") from error
    except csv.Error as error:
        raise DataError(f"{name}, line {reader.line_num}: not a readable CSV ({error})") from error
    return Table(name, "line", pd.DataFrame(cells, columns=header, index=lines, dtype=object))


def _check_header(header: list[str], name: str) -> None:
    if not any(header):
        raise DataError(f"{name} is empty; it needs a header on line 1")
    twice = sorted({column for column in header if header.count(column) > 1})
    if twice:
        raise DataError(f"{name}, line 1: the column(s) {twice} stand there twice")
