"""The rows of a label table: which are good, and what is wrong with the others."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pandas as pd
from pydantic import BaseModel, Field, model_validator

from longtail.sources.classes import ClassName
from longtail.sources.files import Files, has_image_suffix, matches
from longtail.sources.lookup import Lookup
from longtail.sources.problems import LISTED, Problems
from longtail.sources.subsets import subset_named
from longtail.sources.tabular import Table

OWN_ROWS = 'To use only the images of the table, and none without a row: `ignore: ["*"]`.'


class LabelColumn(BaseModel, extra="forbid"):
    """One task: its column, and its name if another; a text is the column. Without `classes`, they are the values
    found, sorted.

    An empty cell and the values of `missing` are missing labels; a row with a value of `drop` is left out.
    """

    column: str = Field(description="of the labels")
    name: str | None = Field(None, description="of the task; null: that of the column")
    classes: list[ClassName] | None = None
    missing: list[ClassName] = []
    drop: list[ClassName] = []
    background: ClassName | None = Field(None, description="the class that counts in no metric; null: none")

    @model_validator(mode="before")
    @classmethod
    def _column(cls, value: object) -> object:
        return {"column": value} if isinstance(value, str) else value

    @property
    def task(self) -> str:
        """The name of the task."""
        return self.name or self.column


@dataclass
class Rows:
    """The rows of a table that are left, step by step; whatever is taken out is counted or reported."""

    table: Table
    problems: Problems

    def __post_init__(self) -> None:
        self.left = self.table.rows

    def drop(self, labels: Iterable[LabelColumn]) -> None:
        """Leave out the rows with a value to drop: no problem."""
        drop = pd.Series(False, index=self.left.index)
        for label in labels:
            drop |= self.left[label.column].isin(label.drop)
        self.problems.drop("dropped by value", int(drop.sum()))
        self.left = self.left[~drop]

    def check(self, labels: Iterable[LabelColumn], subset: str | None) -> None:
        """Leave out the rows with a label outside the declared classes or an unknown subset."""
        rows, bad = self.left, set()
        if subset is not None:
            known = rows[subset].map(_each(rows[subset], lambda value: not value or subset_named(value) is not None))
            bad |= self._report(rows, ~known.astype(bool), "unknown subset", rows[subset])
        for label in labels:
            declared = label.classes if label.classes is not None else self.table.classes.get(label.column)
            if declared is not None:
                unknown = ~rows[label.column].isin(["", *label.missing, *declared])
                details = label.column + ": " + rows[label.column]
                bad |= self._report(rows, unknown, "label outside the declared classes", details)
        self.left = rows.loc[[line not in bad for line in rows.index]]

    def find_files(self, image: str, suffix: str, files: Files, ignore: list[str]) -> "pd.Series[str]":
        """The file of each row that is left. A row without a file, a second row of a file and a file without a row are
        problems.
        """
        lookup, every = Lookup(files.names), self.table.rows[image]
        found = every.map(_each(every, lambda cell: lookup.find(cell + suffix) if cell else None))
        names = found[self.left.index]
        bad = self._without_file(names, self.left[image] + suffix, files, lookup)
        unit = self.table.unit
        first = pd.Series(names.index, index=names.index).groupby(names).transform("first")
        details = self.left[image] + f", first on {unit} " + first.astype("Int64").astype(str)
        bad |= self._report(self.left, names.duplicated() & names.notna(), "two rows for one id", details)
        self._orphans(files, set(found.dropna()), ignore)
        self.left = self.left.loc[[line not in bad for line in self.left.index]]
        return names[self.left.index]

    def _without_file(self, names: "pd.Series[str]", cells: "pd.Series[str]", files: Files, lookup: Lookup) -> set[int]:
        missing = names.isna()
        hint = lookup.hint(cells[missing].head(LISTED)) if missing.any() else ""
        return self._report(self.left, missing, "row without its file", f"{files.path}/" + cells, hint)

    def _orphans(self, files: Files, known: set[str], ignore: list[str]) -> None:
        for name in files.names:
            if name not in known and has_image_suffix(name) and not matches(name, ignore):
                detail = f"no row of {self.table.name} names it"
                self.problems.add("file without a row", f"{files.path}/{name}", detail, OWN_ROWS)

    def _report(
        self, rows: pd.DataFrame, mask: "pd.Series[bool]", reason: str, details: "pd.Series[str]", remedy: str = ""
    ) -> set[int]:
        lines = [int(line) for line in rows.index[mask]]
        for line in lines:
            self.problems.add(reason, self.table.place(line), str(details[line]), remedy)
        return set(lines)


def _each(values: "pd.Series[str]", function: Callable[[str], object]) -> dict[str, object]:
    """A function's value for every distinct cell."""
    return {value: function(value) for value in values.unique()}
