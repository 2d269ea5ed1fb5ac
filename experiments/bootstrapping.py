"""A data set that grows with people in the loop: labels asked against accuracy, by simulated people.

    python -m experiments.bootstrapping digits_bootstrapping --data .

Table 2.3 in shape (Cui's dissertation, section 2.4.3): from a share of the training images, by turns, to more of them;
each method of the YAML with the queue by confidence and at random, and with people who err. A method that makes classes
of hard negatives has them, one that ignores them has none; any other is there with them and without.
"""

from itertools import product
from pathlib import Path
from typing import Annotated

import matplotlib.pyplot as plt
import pandas as pd
import typer

from experiments.figures import frame, line
from experiments.matrix import Cell, experiment_file, read_matrix
from experiments.place import Place
from experiments.turns import OWN, Arm, By, Ground, Row, Way, check, turns
from longtail.errors import DataError
from longtail.execution import one_sentence
from longtail.rules.registry import ADJUSTED

ARM = ["method", "queue", "negatives kept", "errors"]
COUNTS = ["asked", "yes", "no", "wrong", "images", "negatives"]


def arms(cell: Cell, orders: list[By], error_rates: list[float]) -> list[Arm]:
    """The conditions of a cell."""
    training = cell.training_params(cell.model)
    kept = [training.negatives != "ignore"] if training.method.separates_negatives else [False, True]
    return [Arm(*one) for one in product(orders, kept, error_rates)]


def run(
    name: str, place: Place, strangers: list[str], way: Way, orders: list[By], errors: list[float], methods: list[str]
) -> pd.DataFrame:
    """A row for each turn of each arm, accuracies in percent."""
    matrix = read_matrix(experiment_file(name))
    cells = [cell for cell in matrix.cells() if cell.setting == matrix.last_setting]
    if unknown := set(methods) - set(matrix.methods):
        raise DataError(f"{name} has no methods {sorted(unknown)}; it has {list(matrix.methods)}")
    chosen = [cell for cell in cells if not methods or cell.method in methods]
    for cell in chosen:
        check(cell)
    rows: list[Row] = []
    for cell in chosen:
        ground = Ground.of(cell, place, strangers, way)
        for arm in arms(cell, orders, errors):
            about = dict(zip(ARM, (cell.method, arm.by, arm.negatives, f"{arm.error_rate:.0%}"), strict=True))
            rows += [{**about, "seed": cell.seed, **row} for row in turns(ground, arm, way)]
            print(f"{cell.name}, {arm}: {100 * rows[-1][OWN]:.1f} %", flush=True)
    table = pd.DataFrame(rows)
    scores = [name for name in (OWN, ADJUSTED) if name in table]
    return table.assign(**{score: 100 * table[score] for score in scores})


def means(table: pd.DataFrame) -> pd.DataFrame:
    """Of every arm and turn the means over the seeds, and the spread of the accuracy."""
    scores = [name for name in (OWN, ADJUSTED) if name in table]
    grouped = table.groupby([*ARM, "turn"], sort=False)
    return grouped[[*COUNTS, *scores]].mean().assign(sd=grouped[OWN].std()).round(1)


def gains(table: pd.DataFrame) -> pd.DataFrame:
    """Of every arm the accuracy of the first turn and of the last, and what the turns between have gained."""
    by_turn = table.pivot_table(index=[*ARM, "seed"], columns="turn", values=OWN, sort=False)
    found = pd.DataFrame({"seed alone": by_turn.iloc[:, 0], "all turns": by_turn.iloc[:, -1]})
    found["gain"] = found["all turns"] - found["seed alone"]
    mean = found.groupby(level=ARM, sort=False).mean()
    return mean.assign(sd=found["gain"].groupby(level=ARM, sort=False).std()).round(1)


def draw(table: pd.DataFrame, file: Path) -> None:
    """Labels asked against accuracy, an axis for each rate of errors."""
    plt.rcParams["svg.hashsalt"] = "longtail"
    rates = list(dict.fromkeys(table["errors"]))
    figure, axes = plt.subplots(
        1, len(rates), figsize=(1.5 + 4 * len(rates), 4.5), sharey=True, squeeze=False, layout="constrained"
    )
    for place, rate in enumerate(rates):
        at_rate = means(table[table["errors"] == rate]).reset_index()
        for number, ((method, order, kept), of_arm) in enumerate(at_rate.groupby(ARM[:3], sort=False)):
            name = f"{method}{', hard negatives' if kept else ''}, {order}"
            axes[0, place].plot(of_arm["asked"], of_arm[OWN], label=name, **line(number))
        axes[0, place].set_title(f"{rate} errors")
        axes[0, place].set_xlabel("labels asked")
        axes[0, place].grid(alpha=0.3)
    axes[0, 0].set_ylabel("mean per-class accuracy on test, %")
    frame(axes[0, -1], "both")
    figure.savefig(file, metadata={"Date": None}, bbox_inches="tight")
    plt.close(figure)


def main(
    name: Annotated[str, typer.Argument(help="a YAML of experiments/ on stored features, of one task")],
    data: Annotated[Path, typer.Option(help="directory of what the sources read")] = Path("data"),
    strangers: Annotated[str, typer.Option(help="classes that nobody asks for, whose images are in the pool")] = "8,9",
    share: Annotated[float, typer.Option(help="of the training images, the seed")] = 0.1,
    parts: Annotated[int, typer.Option(min=1, help="of the pool, one a turn")] = 4,
    confidence: Annotated[float, typer.Option(help="least probability of what is asked")] = 0.5,
    errors: Annotated[str, typer.Option(help="rates at which people err")] = "0 0.05 0.2",
    orders: Annotated[str, typer.Option(help="confidence, random")] = "confidence random",
    methods: Annotated[list[str] | None, typer.Option(help="of the YAML, these alone; several")] = None,
    work: Annotated[Path, typer.Option(help="directory of all results")] = Path("artifacts/experiments"),
) -> None:
    """Print means over the seeds and the gains; write turns.csv and labels-asked.svg."""
    with one_sentence():
        place = Place(data.resolve(), work, f"{name}-turns")
        place.work.mkdir(parents=True, exist_ok=True)
        rates, queues = [float(rate) for rate in errors.split()], orders.split()
        if unknown := set(queues) - {"confidence", "random"}:
            raise DataError(f"there are no orders {sorted(unknown)}; there are confidence and random")
        way = Way(parts, share, confidence)
        table = run(name, place, strangers.split(","), way, queues, rates, methods or [])  # type: ignore[arg-type]
        table.to_csv(place.work / "turns.csv", index=False)
        draw(table, place.work / "labels-asked.svg")
        print(means(table).to_string(), gains(table).to_string(), sep="\n\n")


if __name__ == "__main__":
    typer.run(main)
