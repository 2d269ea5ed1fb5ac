"""What `longtail advise` would have said of the data of each measured table from the others alone, beside the outcome.

    python -m experiments.foresight --data DIR

Writes artifacts/experiments/foresight/results.md, and single classes too of experiments whose cells lie there. Nothing
is trained.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from scipy import stats

from experiments.cell import Steps
from experiments.matrix import experiment_file, read_matrix
from experiments.place import Place
from experiments.results import Results
from longtail.advice.advice import Advice, advise
from longtail.advice.ladder import ADJUSTED_STEP
from longtail.advice.measured import Gain, Table, tables
from longtail.execution import one_sentence
from longtail.metrics.significance import LEVEL
from longtail.stages import ingest, split

HEADING = (
    "| table | nearest of the others, distance | smallest difference told, 3 seeds | larger gains: beyond chance | "
    "smaller gains: not | best of the ladder: expected | measured |\n| --- | --- | ---: | ---: | ---: | --- | --- |\n"
)
CLASSES = (
    "\n| table | classes × rows × seeds | differences as large as said: told | smaller: not told |\n"
    "| --- | ---: | ---: | ---: |\n"
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


def advised(table: Table, data: Path, work: Path) -> Advice:
    """What is said of the table's data without it. Raises DataError if its data are not in `data`."""
    matrix = read_matrix(experiment_file(table.name))
    cell = next(one for one in matrix.cells() if one.method == matrix.baseline and one.setting == matrix.last_setting)
    steps = Steps(cell, work)
    dataset = steps.run(ingest, data)
    return advise(dataset, split=steps.run(split, dataset), without=table.name)


def row(table: Table, found: Advice) -> str:
    """The table's line."""
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


def of_classes(table: Table, found: Advice, results: Results) -> str:
    """The line of its classes: of each, row and seed, whether McNemar's exact test tells the row from the baseline, and
    whether the difference is as large as advice said that it must be.
    """
    least = {(task.name, one.name): one.smallest for task in found.told for one in task.classes}
    large: list[bool] = []
    small: list[bool] = []
    for at, difference, p in _differences(results):
        told = least[at]
        (small if told is None or abs(difference) < told else large).append(p < LEVEL)
    said = f"{sum(large)} of {len(large)} | {len(small) - sum(small)} of {len(small)}"
    return f"| {table.name} | {len(large) + len(small):,} | {said} |\n"


def _differences(results: Results) -> Iterator[tuple[tuple[str, str], float, float]]:
    """Of every class of a task, row and seed the difference from the baseline, and its p-value."""
    setting, baseline = results.matrix.last_setting, results.baseline
    for task in results.tasks:
        names = list(results.class_sizes(task, setting))
        for one in results.contenders():
            scored = (set(results.values(task, setting, *each).index) for each in (one, baseline))
            for seed in sorted(set.intersection(*scored)) if one != baseline else ():
                said = results.answers(task, setting, seed, one, baseline)
                for code, name in enumerate(names):
                    of_class = said.truth == code
                    first, second = (of_class & (each == code) for each in (said.first, said.second))
                    ahead, behind = int((first & ~second).sum()), int((second & ~first).sum())
                    p = stats.binomtest(ahead, ahead + behind).pvalue if ahead + behind else 1.0
                    yield (task, name), (ahead - behind) / max(1, of_class.sum()), float(p)


def _expected(found: Advice) -> str:
    return f"{found.plan.expected}{', a hint' if found.near.far else ''}"


def main(
    data: Annotated[Path, typer.Option(help="directory of what the sources read")] = Path("data"),
    work: Annotated[Path, typer.Option(help="directory of all results")] = Path("artifacts/experiments"),
) -> None:
    """Hold each table against what the others would have foreseen."""
    with one_sentence():
        known = [(table, advised(table, data.resolve(), work / "foresight" / "steps")) for table in tables()]
        said = HEADING + "".join(row(table, found) for table, found in known)
        classes = []
        for table, found in known:
            results = Results.of(read_matrix(experiment_file(table.name)), Place(data.resolve(), work, table.name))
            if results.found:
                classes.append(of_classes(table, found, results))
        said += CLASSES + "".join(classes) if classes else ""
        (work / "foresight" / "results.md").write_text(said, encoding="utf-8")
        typer.echo(said)


if __name__ == "__main__":
    typer.run(main)
