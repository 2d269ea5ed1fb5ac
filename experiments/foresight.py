"""What `longtail advise` would have said of the data of each measured table from the others alone, beside the outcome.

    python -m experiments.foresight --data DIR

Writes artifacts/experiments/foresight/results.md. Nothing is trained.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from experiments.cell import Steps
from experiments.matrix import experiment_file, read_matrix
from longtail.advice.advice import Advice, advise
from longtail.advice.ladder import ADJUSTED_STEP
from longtail.advice.measured import Gain, Table, tables
from longtail.execution import one_sentence
from longtail.stages import ingest, split

HEADING = (
    "| table | nearest of the others, distance | smallest difference told, 3 seeds | larger gains: beyond chance | "
    "smaller gains: not | best of the ladder: expected | measured |\n| --- | --- | ---: | ---: | ---: | --- | --- |\n"
)


@dataclass(frozen=True)
class Outcome:
    """Of a table's rows those whose gain or loss is as large as `told`, in [0, 1], and the others: how many, and of
    how many the tests said what was foreseen. `best`: the steps of the ladder that nothing is above beyond chance.
    """

    larger: tuple[int, int]
    smaller: tuple[int, int]
    best: str

    @classmethod
    def of(cls, table: Table, gains: dict[str, Gain], told: float | None) -> "Outcome":
        """`gains`: of the table's mean, or of its one task."""
        large = [gain.significant for gain in gains.values() if told is not None and abs(gain.mean) >= 100 * told]
        small = [not gain.significant for gain in gains.values() if told is None or abs(gain.mean) < 100 * told]
        return cls((sum(large), len(large)), (sum(small), len(small)), _best(gains))


def _best(gains: dict[str, Gain]) -> str:
    """The step of the ladder with the largest gain beyond chance, else the adjusted head."""
    steps = ("class-even sampling", "balanced softmax", "class-balanced softmax", "cRT")
    ahead = {
        name: gain for name in steps if (gain := gains.get(f"{name}, head")) and gain.significant and gain.mean > 0
    }
    if not ahead:
        return ADJUSTED_STEP
    name = max(ahead, key=lambda one: ahead[one].mean)
    return f"{name}, {ahead[name].mean:+.1f}"


def row(table: Table, data: Path, work: Path) -> str:
    """The table's line. Raises DataError if its data are not in `data`."""
    matrix = read_matrix(experiment_file(table.name))
    cell = next(one for one in matrix.cells() if one.method == matrix.baseline and one.setting == matrix.last_setting)
    steps = Steps(cell, work)
    dataset = steps.run(ingest, data)
    found = advise(dataset, split=steps.run(split, dataset), without=table.name)
    one_task = len(found.told) == 1
    told = found.told[0].seeds[3] if one_task else found.mean
    gains = next(iter(table.tasks.values())).gains if one_task else table.gains
    outcome = Outcome.of(table, gains, told)
    cells = [
        table.name,
        f"{found.near.table.name}, {found.near.distance:.1f}",
        "none" if told is None else f"{100 * told:.1f}",
        "{} of {}".format(*outcome.larger),
        "{} of {}".format(*outcome.smaller),
        _expected(found),
        outcome.best,
    ]
    return f"| {' | '.join(cells)} |\n"


def _expected(found: Advice) -> str:
    return f"{found.plan.expected}{', a hint' if found.near.far else ''}"


def main(
    data: Annotated[Path, typer.Option(help="directory of what the sources read")] = Path("data"),
    work: Annotated[Path, typer.Option(help="directory of all results")] = Path("artifacts/experiments"),
) -> None:
    """Hold each table against what the others would have foreseen."""
    with one_sentence():
        rows = [row(table, data.resolve(), work / "foresight" / "steps") for table in tables()]
        (work / "foresight" / "results.md").write_text(HEADING + "".join(rows), encoding="utf-8")
        typer.echo(HEADING + "".join(rows))


if __name__ == "__main__":
    typer.run(main)
