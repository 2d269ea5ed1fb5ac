"""Tables as text, each row with the line at which a person finds it; CSV is read here."""

import csv
import difflib
import io
from dataclasses import dataclass, field

import pandas as pd

from longtail.errors import DataError
from longtail.sources.problems import Problems
from longtail.sources.quoting import listed, shown


@dataclass(frozen=True)
class Table:
    """`rows` holds text only ("" where a cell is empty); its index is the line (CSV) or the row (parquet), from 1.

    `classes` are the names that the file itself declares for a column.
    """

    name: str
    unit: str
    rows: pd.DataFrame
    classes: dict[str, list[str]] = field(default_factory=dict)

    def place(self, number: int) -> str:
        """How a person finds the row: `labels.csv, line 7`."""
        return f"{self.name}, {self.unit} {number}"


def require(columns: list[str], known: list[str], name: str) -> None:
    """Raise DataError for a column that is not among the `known` ones of a table, with those that are."""
    for column in columns:
        if column not in known:
            near = difflib.get_close_matches(column, known, 1)
            hint = f"; did you mean {shown(near[0])!r}?" if near else ""
            raise DataError(f"{name} has no column {column!r}{hint} (it has {listed(known)})")


def read_csv(data: bytes, name: str, separator: str, problems: Problems) -> Table:
    """Parse a CSV in UTF-8 with a header on line 1. A row with too many or too few cells is a problem.

    Empty cells after the last column are none: some programs end lines with a separator, or with several.
    Raises DataError for what cannot be parsed or has no row.
    """
    lines, cells, broken = [], [], False
    try:
        reader = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), delimiter=separator, strict=True)
        header = _without_empty_end(next(reader, []))
        _check_header(header, name)
        start = reader.line_num + 1
        for row_cells in reader:
            row = _without_empty_end(row_cells, len(header))
            if len(row) == len(header):
                lines.append(start)
                cells.append(row)
            elif row:  # a blank line is no row
                broken = True
                problems.add("broken row", f"{name}, line {start}", f"{len(row)} cells, the header has {len(header)}")
            start = reader.line_num + 1
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError(f"{name}, line {line}: not UTF-8 text ({error.reason}); save the table as UTF-8") from error
    except csv.Error as error:
        raise DataError(f"{name}, line {reader.line_num}: not a readable CSV ({error})") from error
    if not cells and not broken:
        raise DataError(f"{name} has no row")
    return Table(name, "line", pd.DataFrame(cells, columns=header, index=lines, dtype=object))


def _without_empty_end(row: list[str], width: int = 0) -> list[str]:
    """The row without the empty cells at its end that are beyond a width."""
    end = len(row)
    while end > width and not row[end - 1]:
        end -= 1
    return row[:end]


def _check_header(header: list[str], name: str) -> None:
    if not any(header):
        raise DataError(f"{name} is empty; it needs a header on line 1")
    twice = sorted({column for column in header if header.count(column) > 1})
    if twice:
        raise DataError(f"{name}, line 1: the column(s) {listed(twice)} stand there twice")
