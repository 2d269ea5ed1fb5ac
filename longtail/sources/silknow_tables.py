"""SILKNOW's label tables: a master file a subset, each of whose lines names a collection file, a row an image."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from longtail.errors import DataError
from longtail.sources.classes import check_task_name, class_name
from longtail.sources.collection import Request
from longtail.sources.files import read_file, through_wrapping
from longtail.sources.list_format import text_lines
from longtail.sources.problems import Problems
from longtail.sources.quoting import listed, shown
from longtail.sources.rows import Rows
from longtail.sources.tabular import Table, read_csv, require

MASTERS = {"train": "masterfile_train.txt", "validation": "masterfile_val.txt", "test": "masterfile_test.txt"}
IMAGE, RECORD = "#image_file", "#record"  # columns; no variable has such a name, the sign is not a part of theirs
MISSING = ("nan", "NaN", "")
SEVERAL = "___"  # between the labels where SILKNOW's exports have several of one variable; the published tables do not
NAME = r"^(.+?__.+?)__.+"  # <museum>__<record>__<image>


class Collected(NamedTuple):
    """A collection file's good rows: the image's file name, its record, and a label or None a variable."""

    rows: Rows
    subset: str
    variables: list[str]

    def place(self, line: int) -> str:
        """How a person finds a row."""
        return self.rows.table.place(line)


def read_tables(path: Path, request: Request) -> list[Collected]:
    """The collection files that the master files below `path` name, of all three subsets.

    A broken row, a name that tells no record and a cell of several labels are problems. Raises DataError for a file
    that is not there or no table of this form, and for tables of different variables.
    """
    found = through_wrapping(path, request, lambda folder: read_file(folder / MASTERS["train"], request))
    if found is None:
        raise DataError(f"no {MASTERS['train']} in {path}; SILKNOW's tables lie beside it")
    folder = found[0]
    tables = [
        _collected(folder, name, subset, request)
        for subset, master in MASTERS.items()
        for _, name in text_lines(_content(folder, master, "the master files", request), master)
    ]
    for one in tables:
        if one.variables != tables[0].variables:
            names = " and ".join(f"{shown(each.rows.table.name)} {listed(each.variables)}" for each in (tables[0], one))
            raise DataError(f"the collection files have different variables: {names}")
    return tables


def _content(folder: Path, name: str, named_by: str, request: Request) -> bytes:
    data = read_file(folder / name, request)
    if data is None:
        raise DataError(f"no file {shown(name)!r} in {folder}, which is one of {named_by}")
    return data


def _collected(folder: Path, name: str, subset: str, request: Request) -> Collected:
    data = _content(folder, name, f"those that {MASTERS[subset]} names", request)
    table = read_csv(data, shown(name), "\t", request.problems)
    require([IMAGE], list(table.rows.columns), table.name)
    table.rows.columns = [column if column == IMAGE else column.removeprefix("#") for column in table.rows.columns]
    variables = [column for column in table.rows.columns if column != IMAGE]
    if not variables:
        raise DataError(f"{table.name} has no column but {IMAGE}; each further column is a variable")
    for variable in variables:
        check_task_name(variable)
    rows = table.rows
    rows[IMAGE] = rows[IMAGE].str.replace("\\", "/").str.rpartition("/")[2].str.strip()
    rows[RECORD] = rows[IMAGE].str.extract(NAME, expand=False)
    rows[variables] = rows[variables].map(class_name)
    good = Rows(table, request.problems)
    good.left = rows[_is_good(table, variables, request.problems)]
    good.left = good.left.assign(**{name: good.left[name].where(~good.left[name].isin(MISSING)) for name in variables})
    return Collected(good, subset, variables)


def _is_good(table: Table, variables: list[str], problems: Problems) -> "pd.Series[bool]":
    """Whether a row tells its record, and one label a variable; the others are reported."""
    nameless = table.rows[RECORD].isna()
    for line, name in table.rows.loc[nameless, IMAGE].items():
        detail = f"{name!r} is no <museum>__<record>__<image>"
        problems.add("broken row", table.place(int(str(line))), detail)
    good = ~nameless
    for variable in variables:
        several = good & table.rows[variable].str.contains(SEVERAL, regex=False)
        for line, cell in table.rows.loc[several, variable].items():
            problems.add("several labels in one cell", table.place(int(str(line))), f"{variable}: {cell}")
        good &= ~several
    return good
