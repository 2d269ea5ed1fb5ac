"""Run an experiment and write its tables and figures.

    make experiment NAME=mnist_rot_back DATA=DIR     which is
    python -m experiments mnist_rot_back --data DIR

Cells that are done are not run again; those that failed are. Results: artifacts/experiments/NAME/results.md and .csv.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from experiments.figures import draw
from experiments.matrix import experiment_file, read_matrix
from experiments.place import Place
from experiments.results import Results
from experiments.run import end, run_all
from experiments.tables import write_results
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
            if unknown := set(seeds) - set(matrix.seeds):
                raise DataError(f"{file} has no seeds {sorted(unknown)}; it has {matrix.seeds}")
            matrix = matrix.model_copy(update={"seeds": sorted(set(seeds))})
        if not report and not data.is_dir():
            raise DataError(f"there is no directory {data}: say where the data is with --data")
        place = Place(data.resolve(), work, file.stem)
        place.work.mkdir(parents=True, exist_ok=True)
        failed = [] if report else run_all(file.stem, matrix, place, processes)
        results = Results.of(matrix, place)
        written = []
        if len(results.rows):
            written = [write_results(file.stem, results), place.work / "results.csv", *draw(results)]
            print(written[0].read_text(encoding="utf-8"))
            print(f"tables and figures lie in {place.work}", file=sys.stderr)
        elif not failed:
            raise DataError(f"no cell of {file} is done in {place.work} with --data {data}")
        if not report:
            end(file.stem, matrix, written, failed=len(failed))
        if failed:
            raise DataError(
                f"{len(failed)} of {len(matrix.cells())} cells failed; run the same command to try them again"
            )


if __name__ == "__main__":
    typer.run(main)
