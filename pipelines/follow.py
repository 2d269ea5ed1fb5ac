"""Follow a run until it ends: a line a step, through the network's hiccups, to the run's own verdict."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import urllib3
from kfp import Client
from kfp_server_api import ApiException
from rich.console import Console
from rich.live import Live
from rich.table import Table

from longtail.errors import DataError
from pipelines.graph import Task
from pipelines.server import Access, explained, passing

POLL = 5.0  # seconds
MISSES = 24  # polls in a row without an answer, after which we stop asking: two minutes or more
ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
STYLES = {"RUNNING": "cyan", "SUCCEEDED": "green", "SKIPPED": "green", "FAILED": "red", "CANCELED": "yellow"}


def follow(client: Client, to: Access, run_id: str, tasks: list[Task], poll: float = POLL) -> None:
    """Return when the run has succeeded. Raises DataError if it fails, is cancelled, or can be seen no more.

    `poll`: seconds between two looks.
    """
    with _view(tasks) as show:
        while True:
            run = _look(client, to, run_id, poll)
            show(_states(run, tasks))
            if run.state in ENDED:
                break
            time.sleep(poll)
    if run.state != "SUCCEEDED":
        raise DataError(f"the run {run.state.lower()}: {_why(run, tasks)}; see {to.page(run_id)}")


def _look(client: Client, to: Access, run_id: str, poll: float) -> Any:
    """The run as it is now; a server that is away for a while is waited for."""
    try:
        for missed in range(1, MISSES + 1):
            with explained(to, "to show the run"):
                try:
                    run = client.get_run(run_id)
                except (ApiException, urllib3.exceptions.HTTPError) as error:
                    if missed == MISSES or not passing(error):
                        raise
                else:
                    if run.run_id:
                        return run
            time.sleep(poll)
        raise DataError(f"{to.host} no longer answers as Kubeflow Pipelines does")
    except DataError as error:
        raise DataError(f"{error}; the run goes on at {to.page(run_id)}") from error


def _details(run: Any) -> list[Any]:
    return (run.run_details.task_details if run.run_details else None) or []


def _states(run: Any, tasks: list[Task]) -> dict[str, str]:
    """By step; the server knows a task by its name, and tells nothing of one that has not begun."""
    known = {detail.display_name: detail.state for detail in _details(run)}
    return {task.step: known.get(task.name) or known.get(task.step) or "PENDING" for task in tasks}


def _why(run: Any, tasks: list[Task]) -> str:
    """Which steps failed, and in whose words."""
    details = _details(run)
    steps = {name: task.step for task in tasks for name in (task.name, task.step)}
    failed = [detail for detail in details if detail.state == "FAILED" and detail.display_name in steps]
    reasons = [f"{steps[detail.display_name]}{_message(detail, details)}" for detail in failed]
    return "; ".join(reasons) or (run.error.message if run.error else "") or "the server says no more"


def _message(detail: Any, details: list[Any]) -> str:
    """The error of a task, or of a pod below it."""
    below = {name for child in detail.child_tasks or [] for name in (child.task_id, child.pod_name) if name}
    pods = [other for other in details if {other.task_id, other.pod_name} & below]
    for one in [*pods, detail]:
        if one.error and one.error.message:
            return f" ({' '.join(one.error.message.split())[:300]})"
    return ""


@contextmanager
def _view(tasks: list[Task]) -> Iterator[Any]:
    """A function that shows the states: a table that changes in a terminal, else a line for every change."""
    console = Console(stderr=True)
    if console.is_terminal:
        with Live(console=console, auto_refresh=False) as live:
            yield lambda states: live.update(_table(states), refresh=True)
        return
    shown: dict[str, str] = {}

    def show(states: dict[str, str]) -> None:
        for step, state in states.items():
            if state != shown.get(step, "PENDING"):
                console.print(f"{step}: {state.lower()}", highlight=False)
        shown.update(states)

    yield show


def _table(states: dict[str, str]) -> Table:
    table = Table.grid(padding=(0, 2))
    for step, state in states.items():
        table.add_row(step, f"[{STYLES.get(state, 'dim')}]{state.lower()}")
    return table
