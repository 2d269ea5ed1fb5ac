"""Edge maps by the models of an experiment, by Sobel and by Canny, and what the benchmark says of them.

    python -m experiments.edges edges --data DIR

Beside the table: precision against recall, and photographs as the methods see them. What is done is not done again.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from experiments.cell import Steps
from experiments.edge_pictures import draw_worst
from experiments.gradients import canny_map, sobel_map
from experiments.matrix import Cell, Matrix, experiment_file, read_matrix
from experiments.place import Place
from longtail.artifacts.files import written
from longtail.data.dataset import PackedDataset
from longtail.data.jpeg import Pixels
from longtail.data.photographs import Photographs
from longtail.errors import DataError
from longtail.execution import one_sentence
from longtail.problems.edges.evaluation.case import Case
from longtail.problems.edges.evaluation.counts import Counts, thresholds
from longtail.problems.edges.evaluation.curve_figure import draw_curves
from longtail.problems.edges.evaluation.evaluation import Evaluation, evaluate
from longtail.problems.edges.evaluation.scores import best
from longtail.problems.edges.evaluation.settings import Settings, Suppression
from longtail.problems.edges.photographs import by_name
from longtail.problems.edges.prediction import write_map
from longtail.report.figures import style
from longtail.rules.base import Floats, Ints
from longtail.stages import detect, index, ingest, split

RESAMPLES = 2000
GRADIENTS: dict[str, tuple[Callable[[Pixels], Floats], Suppression]] = {
    "Sobel": (sobel_map, Suppression.STRUCTURED_EDGES),
    "Canny": (canny_map, Suppression.NONE),  # which is thin
}


def maps(cell: Cell, place: Place) -> tuple[Photographs, Path]:
    """The photographs of a cell, and the folder of the maps that its model makes of some of them."""
    steps = Steps(cell, place.steps)
    dataset = steps.run(ingest, place.data)
    table = steps.run(split, dataset)
    indexed = steps.run(index, table, steps.model(dataset, table))
    folder = steps.run(detect, dataset, table, indexed)
    photographs = PackedDataset.open(dataset).photographs
    assert photographs is not None  # or no map could be made
    return photographs, folder


def gradient_maps(make: Callable[[Pixels], Floats], photographs: Photographs, names: list[str], folder: Path) -> Path:
    """Write a map of each named photograph into a folder, which is returned; anew, for it takes seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = by_name(photographs)
    for name in names:
        with written(folder / f"{name}.png") as new:
            write_map(make(photographs.pixels(numbers[name])), new)
    return folder


def evaluated(cases: list[Case], settings: Settings, place: Place) -> Evaluation:
    """The counts of every map, kept by their content; in as many processes as threads are allowed."""
    return evaluate(cases, settings, work=place.work / "counts")


def cases_of(photographs: Photographs, maps: Path, names: list[str] | None = None) -> list[Case]:
    """The maps of a folder with what people drew; of these names, where it may hold those of another run, or all."""
    numbers = by_name(photographs)
    names = names if names is not None else sorted(file.stem for file in maps.glob("*.png"))
    return [Case(name, maps / f"{name}.png", photographs.annotations(numbers[name])) for name in names]


def difference(one: Evaluation, other: Evaluation) -> tuple[float, float, float]:
    """ODS of one less that of the other, and its 95 % interval: photographs are drawn anew, the same for both."""
    draws = np.random.default_rng(0).integers(0, len(one.names), (RESAMPLES, len(one.names)))
    found = [ods(one.counts, draw) - ods(other.counts, draw) for draw in draws]
    low, high = np.quantile(found, [0.025, 0.975])
    return one.ods.f - other.ods.f, float(low), float(high)


def ods(counts: Counts, photographs: Ints) -> float:
    """ODS of some photographs, of the counts of all."""
    total = Counts(*(values[photographs].sum(axis=0) for values in counts.fields()))
    return best(thresholds(total.recall.size), total.recall, total.precision).f


def table(found: dict[str, Evaluation], baseline: str) -> pd.DataFrame:
    """A row for each: its NMS, ODS, OIS, AP, the threshold of ODS, and ODS less the baseline's."""
    rows = []
    for name, one in found.items():
        gain, low, high = difference(one, found[baseline])
        star = "*" * (low > 0 or high < 0)
        to_baseline = "–" if name == baseline else f"{gain:+.3f}{star} [{low:+.3f}, {high:+.3f}]"
        figures = {"NMS": str(one.settings.nms), "ODS": one.ods.f, "OIS": one.ois.f, "AP": one.ap}
        rows.append({"method": name, **figures, "threshold": one.ods.threshold, f"ODS, to {baseline}": to_baseline})
    return pd.DataFrame(rows)


def chosen_cells(matrix: Matrix, source: str, methods: list[str]) -> list[Cell]:
    """The cells of the first seed, of these methods or all. Raises DataError if one is none of the experiment's, it is
    called as a gradient is, or there are several settings: a table has a row for each method. So too, before anything
    is trained, if one has wrong parameters of the maps.
    """
    if unknown := sorted(set(methods) - set(matrix.methods)):
        raise DataError(f"{source} has no methods {unknown}; it has {list(matrix.methods)}")
    if taken := sorted(set(matrix.methods) & set(GRADIENTS)):
        raise DataError(f"{source} has the methods {taken}, which are rows of every table: give them other names")
    if len(matrix.settings) > 1:
        raise DataError(
            f"{source} has the settings {list(matrix.settings)}, and a table is of one: give each a file of its own"
        )
    cells = [cell for cell in matrix.cells() if cell.seed == matrix.seeds[0]]
    chosen = [cell for cell in cells if not methods or cell.method in methods]
    for cell in chosen:
        for stage in ("detect", "score"):
            cell.params(stage)
    return chosen


def check_same(cases: list[Case], method: str, names: list[str], baseline: str) -> None:
    """Raise DataError if the maps of a method are of other photographs, `names` being those of the first."""
    if [case.name for case in cases] != names:
        raise DataError(
            f"{method!r} has maps of other photographs ({len(cases)}) than {baseline!r} ({len(names)}), and rows are "
            "compared on the same: give both the same `detect.subset`, `detect.photographs` and `ingest`"
        )


def main(
    name: Annotated[str, typer.Argument(help="a YAML of experiments/ with the sections detect and score")] = "edges",
    data: Annotated[Path, typer.Option(help="directory of what the source reads")] = Path("data"),
    work: Annotated[Path, typer.Option(help="directory of all results")] = Path("artifacts/experiments"),
    methods: Annotated[list[str] | None, typer.Option(help="these rows alone")] = None,
) -> None:
    """Make the maps of the first seed's cells, evaluate them, and write table, curves and pictures."""
    with one_sentence():
        file = experiment_file(name)
        matrix = read_matrix(file)
        place = Place(data.resolve(), work, file.stem)
        place.work.mkdir(parents=True, exist_ok=True)
        cells = chosen_cells(matrix, str(file), methods or [])
        found: dict[str, Evaluation] = {}
        folders: dict[str, Path] = {}
        for cell in cells:
            photographs, folders[cell.method] = maps(cell, place)
            cases = cases_of(photographs, folders[cell.method])
            names = next(iter(found.values())).names if found else [case.name for case in cases]
            check_same(cases, cell.method, names, cells[0].method)
            settings: Settings = cell.params("score")
            one = found[cell.method] = evaluated(cases, settings, place)
            print(f"{cell.method}: ODS {one.ods.f:.3f}, OIS {one.ois.f:.3f}, AP {one.ap:.3f}", flush=True)
        for gradient, (make, nms) in GRADIENTS.items():
            folder = folders[gradient] = gradient_maps(make, photographs, names, place.work / "maps" / gradient)
            cases = cases_of(photographs, folder, names)
            found[gradient] = evaluated(cases, settings.model_copy(update={"nms": nms}), place)
        baseline = matrix.baseline if matrix.baseline in found else cells[0].method
        written_table = table(found, baseline)
        written_table.to_csv(place.work / "edge_maps.csv", index=False)
        print(written_table.round(3).to_markdown(index=False))
        few = {name: found[name] for name in dict.fromkeys([baseline, cells[-1].method, *GRADIENTS])}
        shown = {name: cases_of(photographs, folders[name], names) for name in few}
        with style():
            draw_curves(found).savefig(place.work / "precision_recall.svg", metadata={"Date": None, "Creator": None})
            draw_worst(photographs, shown, few).savefig(place.work / "worst.png")


if __name__ == "__main__":
    typer.run(main)
