"""A table of figures and the aims that they are held against: as Markdown to read, as JSON to keep."""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.machine import code, machine

RESULTS = Path(__file__).parent / "results"
FIGURES = Path(__file__).parents[1] / "docs" / "benchmarks"


@dataclass(frozen=True)
class Aim:
    """One aim: what is measured, the goal, the figure with its spread, and whether it is met; if not, why."""

    what: str
    goal: str
    measured: str
    met: bool
    reason: str = ""


@dataclass
class Table:
    """`about`: what is compared, on what; `settings`: sizes and seeds; `notes` follow the table."""

    title: str
    about: str
    columns: list[str]
    rows: list[list[str]] = field(default_factory=list)
    aims: list[Aim] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    figure: str | None = None
    machine: dict[str, str] = field(default_factory=dict)
    code: str = ""
    minutes: float = 0.0

    def add(self, *cells: object) -> None:
        """Add a row."""
        if len(cells) != len(self.columns):
            raise ValueError(f"a row of {len(cells)} cells in a table of {len(self.columns)} columns")
        self.rows.append([str(cell) for cell in cells])

    def markdown(self) -> str:
        """The rows, and the notes below them."""
        lines = markdown_rows(self.columns, self.rows)
        return "\n".join([*lines, *([""] if self.notes else []), *(f"- {note}" for note in self.notes)])


def markdown_rows(columns: list[str], rows: list[list[str]]) -> list[str]:
    """A table in Markdown, line by line."""
    return [f"| {' | '.join(cells)} |" for cells in (columns, ["---"] * len(columns), *rows)]


def write(name: str, table: Table) -> Path:
    """Keep a table as results/<name>.json."""
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{name}.json"
    file.write_text(json.dumps(asdict(table), indent=1) + "\n", encoding="utf-8")
    return file


def read(file: Path) -> Table:
    """The table that `write` wrote."""
    values = json.loads(file.read_text(encoding="utf-8"))
    return Table(**values | {"aims": [Aim(**aim) for aim in values["aims"]]})


def main(run: Callable[[bool], Table | None]) -> None:
    """The command line of one table's module: measure, print, keep; the large sizes are another table.

    `run` gives None where this machine lacks what it measures, and has said so: a former result then stays.
    """
    name = Path(sys.argv[0]).stem
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=run.__doc__)
    parser.add_argument("--full", action="store_true", help="the large sizes: long, and kept as a table of its own")
    full = parser.parse_args().full
    began = time.perf_counter()
    table = run(full)
    if table is None:
        return
    table.machine, table.code = machine(), code()
    table.minutes = round((time.perf_counter() - began) / 60, 1)
    write(f"{name}-full" if full else name, table)
    print(f"{table.title}\n\n{table.markdown()}")
    for aim in table.aims:
        print(f"{'met' if aim.met else 'MISSED'}: {aim.what}: {aim.measured}, goal {aim.goal}")
