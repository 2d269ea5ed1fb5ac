"""Steps that are killed at random moments of MLflow's first seconds: nothing is lost, and the store is never broken.

LONGTAIL_KILLS says how many (default: 10).
"""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mlflow_server import make_database

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("LONGTAIL_KILLS", "10"))
TOGETHER = 10  # kills in one folder: the first of them before there is a store, the last most often after
POINTS = 5
STEP = """
import sys
from pathlib import Path
from longtail import tracking
from longtail.execution import one_sentence
from longtail.tracking import identity
identity.code_md5 = lambda: "code"
name = sys.argv[1]
with one_sentence(), tracking.stage_run(name, name, params={"lr": 0.1}, config={}, dataset="d41d8c", last=True):
    for number in range(5):
        tracking.log_metrics({"loss": 1 / (1 + number)}, step=number, parent=number == 4)
    Path(name).write_text(name)
    tracking.log_artifact(Path(name))
    print("logged", flush=True)
"""


def environment() -> dict[str, str]:
    """Ours, without what decides on tracking."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "LONGTAIL_"))}


def start(name: str, folder: Path) -> "subprocess.Popen[bytes]":
    """Start a step, and wait until it has logged all and goes to MLflow."""
    command = [sys.executable, "-c", STEP, name]
    step = subprocess.Popen(command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert step.stdout is not None
    assert step.stdout.readline() == b"logged\n"
    return step


def seconds(folder: Path) -> float:
    """How long a step takes that makes the store and delivers."""
    folder.mkdir()
    begun = time.monotonic()
    with start("undisturbed", folder) as step:
        assert step.wait() == 0
    return time.monotonic() - begun


def broken(database: Path) -> bool:
    """Whether it is not what MLflow makes of an empty file, with whatever runs."""
    with closing(sqlite3.connect(database)) as found:
        rows = found.execute("SELECT version_num FROM alembic_version").fetchall()
        whole = found.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with closing(sqlite3.connect(make_database(database.with_name("made.db")))) as made:
        return not whole or rows != made.execute("SELECT version_num FROM alembic_version").fetchall()


def delivered(folder: Path) -> dict[str, list[Any]]:
    """The runs of each step, by its name; each must be whole, with every point once."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    (experiment,) = [one for one in client.search_experiments() if one.name == "longtail"]
    runs: dict[str, list[Any]] = {}
    for run in client.search_runs([experiment.experiment_id]):
        if name := run.data.tags.get("longtail.step"):
            runs.setdefault(name, []).append(run)
            points = client.get_metric_history(run.info.run_id, "loss")
            assert [(point.step, point.value) for point in points] == [(n, 1 / (1 + n)) for n in range(POINTS)]
            assert [file.path for file in client.list_artifacts(run.info.run_id)] == [name]
    return runs


@pytest.mark.parametrize("first", range(0, KILLS, TOGETHER))
def test_a_killed_step_loses_nothing_and_breaks_no_store(tmp_path: Path, first: int) -> None:
    moment = random.Random(first)
    longest = seconds(tmp_path / "undisturbed")
    names = [f"step-{number}" for number in range(first, min(first + TOGETHER, KILLS))]
    for name in names:
        step = start(name, tmp_path)
        with step:
            time.sleep(moment.uniform(0.0, longest))
            step.send_signal(moment.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM]))
        assert not (tmp_path / "mlflow.db").exists() or not broken(tmp_path / "mlflow.db")
    sync = subprocess.run(
        [sys.executable, "-m", "longtail", "sync"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    assert sync.returncode == 0, sync.stderr
    assert {name: len(runs) for name, runs in delivered(tmp_path).items()} == dict.fromkeys(names, 1)
    assert list((tmp_path / ".longtail" / "tracking").glob("*/journal.jsonl")) == []
