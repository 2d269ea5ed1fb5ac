"""MLflow's database on this machine: whole or absent, and mended where another process has left it half-made."""

import os
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from mlflow_server import make_database
from sqlalchemy import create_engine

from longtail import tracking
from longtail.errors import DataError
from longtail.tracking import database, journal
from longtail.tracking.database import ensure_whole


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LONGTAIL_TRACKING")
    # MLflow keeps connections by address: a relative one would be that of another test.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)


def half_make(path: Path, count: int) -> None:
    """Make MLflow's tables as a process leaves them that is killed in migration `count`, before that is noted."""
    from alembic import command
    from alembic.script import ScriptDirectory
    from mlflow.store.db.utils import _get_alembic_config
    from mlflow.store.tracking.dbmodels.initial_models import Base

    engine = create_engine(f"sqlite:///{path}")
    Base.metadata.create_all(engine)
    config = _get_alembic_config(str(engine.url))
    revisions = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()][::-1]
    config.attributes["connection"] = engine
    command.upgrade(config, revisions[count])
    engine.dispose()
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE alembic_version SET version_num = ?", [revisions[count - 1]])
        database.commit()


def leave(path: Path) -> None:
    """As it looks when the process that made it has long been dead."""
    os.utime(path, (time.time() - 60, time.time() - 60))


def experiments(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT COUNT(*) FROM experiments").fetchone()[0])


def run_step() -> list[str]:
    """Run a step that delivers; the steps that MLflow then has."""
    from mlflow import MlflowClient

    with tracking.stage_run("evaluate", "evaluate", params={}, config={}, dataset="d41d8c", last=True):
        tracking.log_metrics({"accuracy": 0.5})
    client = MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
    experiment = client.get_experiment_by_name("longtail")
    return sorted(run.info.run_name for run in client.search_runs([experiment.experiment_id]))


@pytest.mark.parametrize("count", [20, *(pytest.param(count, marks=pytest.mark.slow) for count in (3, 7, 33, 40))])
def test_a_half_made_database_is_made_anew(count: int) -> None:
    half_make(Path("mlflow.db"), count)
    leave(Path("mlflow.db"))
    assert tracking.sync() == 0
    assert experiments(Path("mlflow.db")) == 1
    assert len(run_step()) == 2
    assert journal.waiting() == []
    assert [path.name for path in Path().glob("*mlflow.db*")] == ["mlflow.db"]


@pytest.mark.parametrize("content", [b"", None], ids=["empty", "with a journal of the dead process"])
def test_what_a_killed_process_left_beside_it_does_no_harm(content: bytes | None) -> None:
    Path("mlflow.db").write_bytes(b"")
    if content is None:
        make_database(Path("other.db"))
        with closing(sqlite3.connect("other.db", isolation_level=None)) as connection:
            connection.execute("PRAGMA cache_size = 1")
            connection.execute("BEGIN")
            connection.execute("UPDATE experiments SET name = 'changed'")
            connection.execute("CREATE TABLE filler AS SELECT zeroblob(100000) AS x")
            left = Path("other.db-journal").read_bytes()
            connection.execute("ROLLBACK")
        assert left
        Path("mlflow.db").unlink()
        Path("mlflow.db-journal").write_bytes(left)
    else:
        leave(Path("mlflow.db"))
    assert len(run_step()) == 2
    with closing(sqlite3.connect("mlflow.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_database_that_holds_anything_is_left_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    half_make(Path("mlflow.db"), 20)
    with closing(sqlite3.connect("mlflow.db")) as connection:
        connection.execute("INSERT INTO experiments (experiment_id, name) VALUES (1, 'mine')")
        connection.commit()
    leave(Path("mlflow.db"))
    with tracking.stage_run("evaluate", "evaluate", params={}, config={}, dataset="d41d8c", last=True):
        pass
    assert "/mlflow.db failed" in capsys.readouterr().err
    assert len(journal.waiting()) == 1
    with pytest.raises(DataError, match="still wait"):
        tracking.sync()
    with closing(sqlite3.connect("mlflow.db")) as connection:
        assert connection.execute("SELECT name FROM experiments").fetchall() == [("mine",)]


@pytest.mark.parametrize(
    "uri", ["sqlite://", "sqlite:///:memory:", "http://127.0.0.1:1", "postgresql://a@b/c", "mlruns"]
)
def test_other_stores_are_none_of_its_business(uri: str) -> None:
    ensure_whole(uri)
    assert list(Path().iterdir()) == []


def test_one_that_is_being_made_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "QUIET", 60.0)
    half_make(Path("mlflow.db"), 5)
    whole = make_database(Path("made.db")).read_bytes()
    thread = threading.Timer(0.5, lambda: Path("mlflow.db").write_bytes(whole))
    thread.start()
    ensure_whole("sqlite:///mlflow.db")
    thread.join()
    assert Path("mlflow.db").read_bytes() == whole


@pytest.mark.slow
def test_steps_that_begin_together_make_one_database() -> None:
    code = "from longtail.tracking.database import ensure_whole; ensure_whole('sqlite:///mlflow.db')"
    together = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(4)]
    assert [process.wait() for process in together] == [0] * 4
    assert experiments(Path("mlflow.db")) == 1
    assert [path.name for path in Path().glob("*mlflow.db*")] == ["mlflow.db"]
