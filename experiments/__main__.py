"""Run an experiment and write its tables and figures.

    make experiment NAME=mnist_rot_back DATA=DIR     which is
    python -m experiments mnist_rot_back --data DIR

Cells that are done are not run again; those that failed are. Results: artifacts/experiments/NAME/results.md and .csv.
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from experiments.figures import draw
from experiments.matrix import experiment_file, read_matrix
from experiments.results import Results, write_results
from experiments.run import Place, run_all
from longtail import tracking
from longtail.errors import DataError
from longtail.execution import one_sentence


def main(
    name: Annotated[str, typer.Argument(help="a YAML of experiments/, without its ending, or a path to one")],
    data: Annotated[Path, typer.Option(help="directory of what the sources read")] = Path("data"),
    work: Annotated[Path, typer.Option(help="directory of all results")] = Path("artifacts/experiments"),
    processes: Annotated[int, typer.Option(min=1, help="cells at a time; they share the threads")] = 1,
    seeds: Annotated[list[int] | None, typer.Option(help="of the YAML's seeds, these alone")] = None,
    report: Annotated[bool, typer.Option(help="only write the tables and figures of what is done")] = False,
) -> None:
    """Run what is missing of an experiment; write its tables and figures."""
    with one_sentence():
        file = experiment_file(name)
        matrix = read_matrix(file)
        if seeds:
            matrix = matrix.model_copy(update={"seeds": seeds})
        if not report and not data.is_dir():
            raise DataError(f"there is no directory {data}: say where the data is with --data")
        place = Place(data, work, file.stem)
        place.work.mkdir(parents=True, exist_ok=True)
        failed = [] if report else run_all(file.stem, matrix, place, processes)
        results = Results.of(matrix, place)
        if len(results.rows):
            written = [write_results(file.stem, results), place.work / "results.csv", *draw(results)]
            if not report:
                _track(file.stem, matrix.model_dump(mode="json"), written)
            print(written[0].read_text())
        if failed:
            raise DataError(
                f"{len(failed)} of {len(matrix.cells())} cells failed; run the same command to try them again"
            )


def _track(name: str, matrix: dict[str, object], files: list[Path]) -> None:
    """Tables and figures as artifacts of the experiment's run, which ends."""
    os.environ["MLFLOW_RUN_NAME"] = f"experiment {name}"
    config = {"experiment": name, "matrix": matrix}
    with tracking.stage_run("experiment", "tables", params={}, config=config, dataset=None, last=True):
        for file in files:
            tracking.log_artifact(file, parent=True)


if __name__ == "__main__":
    typer.run(main)
