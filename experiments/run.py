"""All cells of an experiment, several at a time; what is done is not done again."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from experiments.matrix import Cell, Matrix
from experiments.place import Place
from experiments.results import ACCURACY, cell_rows
from longtail import tracking
from longtail.environment import changed
from longtail.errors import DataError
from longtail.report.content import MEAN
from longtail.threads import budget
from longtail.tracking.settings import Settings

ROOT = Path(__file__).parents[1]


def _tracked(place: Place, cell: Cell) -> Path:
    """A file that is there once MLflow has the cell."""
    return place.result(cell) / "tracked"


def run_all(name: str, matrix: Matrix, place: Place, processes: int) -> list[Cell]:
    """Run the cells that are not done, `processes` at a time, and track each in MLflow; return those that failed.

    A cell that fails, or is killed, leaves the others and its log; the next call tries it again.
    """
    cells = matrix.cells()
    for cell in cells:
        cell.check(matrix.rules_of(cell.method))
    waiting = [cell for cell in cells if place.done(cell) is None]
    for cell in cells:
        if cell not in waiting and not _tracked(place, cell).exists():
            _track(name, matrix, place, cell, failed=False)  # the process that ran it was killed before it could
    failed = []
    with _progress(len(cells), len(cells) - len(waiting)) as (bar, say), _workers(processes) as (threads, children):
        running = {threads.submit(_run, cell, place, processes, children): cell for cell in waiting}
        for finished in as_completed(running):
            cell, (status, seconds) = running[finished], finished.result()
            if status == 0:
                say(f"done in {seconds:,.0f} s: {cell.name}")
            else:
                failed.append(cell)
                say(f"FAILED after {seconds:,.0f} s (status {status}): {cell.name}; {_last_line(place.log(cell))}")
            bar()
            # One process tracks for all: two would each make a parent run.
            _track(name, matrix, place, cell, failed=status != 0)
    return failed


@contextmanager
def _workers(processes: int) -> Iterator[tuple[ThreadPoolExecutor, list[subprocess.Popen[bytes]]]]:
    """Threads that each wait for a cell, and the cells' processes: they end with this one."""
    children: list[subprocess.Popen[bytes]] = []
    threads = ThreadPoolExecutor(processes)
    try:
        yield threads, children
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
        for child in children:
            if child.poll() is None:
                child.terminate()
        threads.shutdown()


def _run(cell: Cell, place: Place, processes: int, children: list[subprocess.Popen[bytes]]) -> tuple[int, float]:
    """A cell in a process of its own; its exit status and seconds. One that another call has done since is not run."""
    if place.done(cell) is not None:
        return 0, 0.0
    log = place.log(cell)
    log.parent.mkdir(parents=True, exist_ok=True)
    described = log.with_suffix(".json")
    described.write_text(cell.model_dump_json(indent=1), encoding="utf-8")
    threads = str(max(1, budget() // processes))
    found = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"LONGTAIL_TRACKING": "off", "OMP_NUM_THREADS": threads, "PYTHONPATH": found}
    command = [sys.executable, "-m", "experiments.cell"]
    paths = [described, place.data, place.steps.resolve(), place.result(cell).resolve()]
    began = time.perf_counter()
    with log.open("wb") as file:
        child = subprocess.Popen([*command, *map(str, paths)], stdout=file, stderr=file, env=environment)
        children.append(child)
        status = child.wait()
    return status, time.perf_counter() - began


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return f"{lines[-1].strip()} ({log})" if lines else f"it said nothing ({log})"


def _track(name: str, matrix: Matrix, place: Place, cell: Cell, *, failed: bool) -> None:
    """A run of the cell below the experiment's run in MLflow: parameters, curves, and each rule's accuracies."""
    # The sections as a pipeline has them: its parameters compare with the cell's.
    params = {**cell.sections, "setting": cell.setting, "method": cell.method, "model": cell.model}
    with suppress(CellFailedError):
        with _run_of(name, matrix, cell.name, params):
            if failed:
                raise CellFailedError(_last_line(place.log(cell)))
            found = place.done(cell)
            assert found is not None
            _log_history(found["history"])
            tracking.log_metrics(_accuracies(cell, matrix, place, found) | {"seconds": found["seconds"]})
        _tracked(place, cell).touch()
    settings = Settings.from_environment()
    if settings and not settings.later:
        # A local store would get these short runs with the next long one, which may be a day away.
        with suppress(DataError):
            tracking.sync()


def _accuracies(cell: Cell, matrix: Matrix, place: Place, found: dict[str, Any]) -> dict[str, float]:
    """What `evaluate` logs of a model, by the same names; the recalls of the classes are in results.csv."""
    rows = [row for row in cell_rows(place.result(cell), cell, found) if row["metric"] == ACCURACY]
    values = {f"test/{row['task']}/{cell.model}/{row['rule']}/{ACCURACY}": row["value"] for row in rows}
    own = {row["task"]: row["value"] for row in rows if row["rule"] == matrix.rules_of(cell.method)[0]}
    if len(own) > 1:
        own[MEAN] = sum(own.values()) / len(own)
    return values | {f"test/{task}/{ACCURACY}": value for task, value in own.items()}


def _log_history(history: list[dict[str, Any]]) -> None:
    """The curves of all rounds, one after the other, and the validation score of each."""
    before = 0
    for past in history:
        for point in past["curve"]:
            values = {f"training/{key}": value for key, value in point.items() if key != "iteration"}
            tracking.log_metrics(values, step=before + int(point["iteration"]))
        before += int(past["curve"][-1]["iteration"]) if past["curve"] else 0
        scores = {f"validation/{task}/mean_class_accuracy": value for task, value in past["scores"].items()}
        tracking.log_metrics(scores, step=past["round"])


def end(name: str, matrix: Matrix, files: list[Path], *, failed: int) -> None:
    """End the experiment's run in MLflow, with its tables and figures; as failed, if cells failed."""
    with suppress(CellFailedError), _run_of(name, matrix, None, {}, last=True):
        for file in files:
            tracking.log_artifact(file)
        if failed:
            raise CellFailedError(f"{failed} cells failed")


@contextmanager
def _run_of(
    name: str, matrix: Matrix, step: str | None, params: dict[str, Any], *, last: bool = False
) -> Iterator[None]:
    """A run below that of the experiment; without a name the experiment's own."""
    config = {"experiment": name, "matrix": matrix.model_dump(mode="json")}
    with (
        changed({"MLFLOW_RUN_NAME": f"experiment {name}"}),
        tracking.stage_run("experiment", step, params=params, config=config, dataset=None, last=last),
    ):
        yield


class CellFailedError(Exception):
    """Ends a run in MLflow as failed."""


@contextmanager
def _progress(total: int, finished: int) -> Iterator[tuple[Any, Any]]:
    """A bar over the cells, and a way to say a line above it."""
    console = Console(stderr=True)
    columns = (TextColumn("cells"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=total, completed=finished)
        console.print(f"{finished} of {total} cells were done before", highlight=False)
        yield lambda: progress.advance(task), lambda line: console.print(line, highlight=False, markup=False)
