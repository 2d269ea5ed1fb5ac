"""Write what the tables of experiments said for `longtail advise`: longtail/advice/measured.yaml.

    python -m experiments.measured WORK/digits_toolbox WORK/clothing_toolbox … --data DIR

Only experiments whose baseline is cross-entropy less the log prior, which all of them are then held against.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import Annotated

import numpy as np
import typer
import yaml

from experiments.gains import Gains
from experiments.matrix import Cell, experiment_file, read_matrix
from experiments.place import Place
from experiments.results import Results
from longtail.advice.measured import FILE, Gain, Measured, MeasuredTask, Table
from longtail.data.imbalance import minority_classes
from longtail.errors import DataError
from longtail.execution import one_sentence
from longtail.metrics.significance import Answers, Difference
from longtail.rules.registry import ADJUSTED
from longtail.training.declared import DATASET

app = typer.Typer(add_completion=False)


@app.command()
def main(
    experiments: Annotated[list[Path], typer.Argument(help="directories of results, named as their YAMLs are")],
    data: Annotated[Path, typer.Option(help="directory of the data that they were run with")] = Path("data"),
    output: Annotated[Path, typer.Option(help="file to write")] = FILE,
) -> None:
    """Read what is done of the experiments and write one table each."""
    with one_sentence():
        found = Measured(tables=[table_of(work, data.resolve()) for work in experiments])
        said = yaml.safe_dump(found.model_dump(mode="json"), sort_keys=False, width=120, default_flow_style=None)
        output.write_text(f"# Written by `python -m experiments.measured`; do not edit.\n{said}", encoding="utf-8")


def table_of(work: Path, data: Path) -> Table:
    """The table of an experiment, of the setting that it shows in detail. Raises DataError if it has none to hold
    others against.
    """
    matrix = read_matrix(experiment_file(work.name))
    results = Results.of(matrix, Place(data, work.parent, work.name))
    if results.baseline[1] != ADJUSTED:
        raise DataError(f"{work.name} is held against {results.baseline}, and not against the rule {ADJUSTED}")
    if not results.found:
        raise DataError(f"{work} has no cell that is done with --data {data}")
    found = [one for key, one in results.found.items() if key[:2] == (matrix.last_setting, matrix.baseline)]
    cell = Cell.model_validate(found[0]["cell"])
    start, on = cell.params("start"), cell.declared.on[cell.model]
    return Table(
        name=work.name,
        title=matrix.title,
        side=min(cell.params("ingest").image_shape[:2]),
        backbone=start.network.backbone,
        pretrained=start.prior == "imagenet",
        frozen=on != DATASET,
        image_passes=matrix.budget(matrix.baseline),
        seeds=len(results.seeds),
        commits=sorted({commit for one in results.found.values() for commit in one["commits"]}),
        command=f"make experiment NAME={work.name}",
        tasks={task: _task(results, task) for task in results.tasks},
        gains=_gains(results, None),
    )


def _gains(results: Results, task: str | None) -> dict[str, Gain]:
    """Of every row of the table but the baseline; of a test subset of one group nothing was measured."""
    return {
        ", ".join(one): _gain(found, found.interval)
        for one in results.contenders()
        if one != results.baseline and (found := _difference(results, task, one)) and found.interval
    }


def _difference(results: Results, task: str | None, one: tuple[str, str]) -> Difference | None:
    return results.difference(task, results.matrix.last_setting, one, results.baseline)


def _gain(found: Difference, interval: tuple[float, float]) -> Gain:
    mean, low, high = (round(100 * value, 2) for value in (found.mean, *interval))
    return Gain(mean=mean, low=low, high=high, significant=found.significant)


def _task(results: Results, task: str) -> MeasuredTask:
    sizes = results.class_sizes(task, results.matrix.last_setting)
    minority = np.zeros(len(sizes), bool)
    minority[minority_classes([round(size) for size in sizes.values()])] = True
    gains = [Gains.of(of_seeds, minority) for of_seeds in _answers(results, task)]
    few, rest = (_middle([one.discordance[place] for one in gains]) for place in (0, 1))
    return MeasuredTask(
        classes=len(sizes),
        train=round(sum(sizes.values())),
        IR=round(results.ratios[task], 2),
        # Without minority classes, or without others, all are alike.
        discordance=(round(few if few is not None else rest or 0, 4), round(rest if rest is not None else few or 0, 4)),
        likeness=_rounded(_middle([one.likeness for one in gains])),
        spread=_rounded(_middle([one.spread for one in gains])),
        accuracy=round(100 * float(results.values(task, results.matrix.last_setting, *results.baseline).mean()), 2),
        gains=_gains(results, task),
    )


def _answers(results: Results, task: str) -> Iterator[list[Answers]]:
    """Of each method but the baseline, by its own rule, what it and the baseline say, seed by seed."""
    setting = results.matrix.last_setting
    for method in results.matrix.methods:
        one = results.own(method)
        if one in results.contenders() and one != results.baseline:
            scored = (set(results.values(task, setting, *each).index) for each in (one, results.baseline))
            if seeds := sorted(set.intersection(*scored)):
                yield [results.answers(task, setting, seed, one, results.baseline) for seed in seeds]


def _middle(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None and np.isfinite(value)]
    return median(known) if known else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 5)


if __name__ == "__main__":
    app()
