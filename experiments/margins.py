"""The coarse search over decreasing margins (LMLE, section 3.2), on validation.

    python -m experiments.margins mnist_rot_back --data DIR --setting "40 %"

The first margins are the paper's upper bounds for the training subset at hand: g1 for clusters squeezed to points, g2
of the largest class, g3 for classes squeezed to points. Then all are halved, again and again.
"""

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from experiments.cell import Steps
from experiments.matrix import Cell, Matrix, experiment_file, merge, read_matrix
from experiments.place import Place
from experiments.run import end, run_all
from longtail.data.splits import Split
from longtail.errors import DataError
from longtail.execution import one_sentence
from longtail.methods.catalogue import CATALOGUE, params_class
from longtail.quintuplets.hinge import Margins, decreasing_margins
from longtail.rules.clusters import chosen_cluster_size
from longtail.stages import ingest, split


def candidates(cell: Cell, place: Place, share: float, count: int) -> list[Margins]:
    """The margins to try in place of a cell's, from the bounds of its training subset (of the first task)."""
    steps = Steps(cell, place.steps)
    table = Split.open(steps.run(split, steps.run(ingest, place.data)))
    sizes = [size for size in table.info.subsets["train"].counts[table.tasks[0].name] if size]
    cluster_size = cell.params("cluster").cluster_size or chosen_cluster_size(sizes)
    distance = cell.params("train").method.distance
    return decreasing_margins(sizes, cluster_size, share=share, count=count, distance=distance)


def search(
    name: str,
    matrix: Matrix,
    setting: str,
    method: str,
    place: Place,
    *,
    share: float,
    count: int,
    processes: int,
) -> pd.DataFrame:
    """Run a method with each of the margins and all seeds; one row each, best on validation first.

    Raises DataError if the setting or method is unknown, the method has no margins, or a run fails.
    """
    for asked, known in ((setting, matrix.settings), (method, matrix.methods)):
        if asked not in known:
            raise DataError(f"the experiment has no {asked!r}; it has {list(known)}")
    one = matrix.methods[method]
    alone = matrix.model_copy(
        update={
            "settings": {setting: matrix.settings[setting]},
            "methods": {method: one},
            "baseline": method,
            "paper": {},
        }
    )
    cell = alone.cells()[0]
    method_params = cell.params("train").method if cell.rounds else None
    if method_params is None or "margins" not in type(method_params).model_fields:
        kinds = [kind for kind in CATALOGUE if "margins" in params_class(kind).model_fields]
        raise DataError(f"{method!r} has no margins to search; choose a method with rounds of {' or '.join(kinds)}")
    tried = {f"g1 {m.g1:.4f}, g2 {m.g2:.4f}, g3 {m.g3:.4f}": m for m in candidates(cell, place, share, count)}
    methods = {}
    for shown, m in tried.items():
        change = merge(one.change, {"train": {"method": {"kind": method_params.kind, "margins": m.model_dump()}}})
        methods[shown] = one.model_copy(update={"change": change, "rules": ["cluster_wise"]})
    searched = alone.model_copy(update={"methods": methods, "baseline": next(iter(methods))})
    failed = run_all(name, searched, place, processes)
    end(name, searched, [], failed=len(failed))
    if failed:
        raise DataError(f"{len(failed)} runs failed; run the same command to try them again")
    rows = []
    for cell in searched.cells():
        found = place.done(cell)
        assert found is not None
        scores = [of_task["cluster_wise"] for of_task in found["validation"].values()]
        margins = tried[cell.method].model_dump()
        rows.append({**margins, "seed": cell.seed, "validation": 100 * sum(scores) / len(scores)})
    table = pd.DataFrame(rows).groupby(["g1", "g2", "g3"])["validation"].agg(["mean", "std", "count"])
    return table.sort_values("mean", ascending=False).reset_index()


def main(
    name: Annotated[str, typer.Argument(help="a YAML of experiments/, without its ending, or a path to one")],
    data: Annotated[Path, typer.Option(help="directory of what the sources read")] = Path("data"),
    setting: Annotated[str | None, typer.Option(help="of the experiment; default: its last")] = None,
    method: Annotated[str, typer.Option(help="of the experiment")] = "quintuplet+resample+cost",
    share: Annotated[float, typer.Option(min=0, max=1, help="s: of the sphere that the classes fill")] = 1.0,
    count: Annotated[int, typer.Option(min=1, help="how many margins to try")] = 5,
    work: Annotated[Path, typer.Option(help="directory of all results")] = Path("artifacts/experiments"),
    processes: Annotated[int, typer.Option(min=1, help="runs at a time")] = 1,
) -> None:
    """Try decreasing margins and print their accuracies on validation."""
    with one_sentence():
        file = experiment_file(name)
        matrix = read_matrix(file)
        run = f"{file.stem}-margins"
        place = Place(data.resolve(), work, run)
        chosen = setting or matrix.last_setting
        found = search(run, matrix, chosen, method, place, share=share, count=count, processes=processes)
        print(found.to_string(index=False))


if __name__ == "__main__":
    typer.run(main)
