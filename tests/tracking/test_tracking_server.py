"""Tracking over HTTP: servers that die, hang, or refuse. What was logged arrives, once, and the step goes on."""

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from mlflow_server import MlflowServer, free_port, make_database

from longtail import tracking
from longtail.errors import DataError
from longtail.tracking import identity, journal, run


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME", "LONGTAIL_TRACKING", "RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(identity, "code_md5", lambda: "code")
    monkeypatch.setattr(run, "FLUSH_SECONDS", 0.0)
    monkeypatch.setattr(run, "FLUSH_SHARE", 0.0)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MlflowServer]:
    server = MlflowServer(make_database(tmp_path / "server.db"), tmp_path / "artifacts")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    server.start()
    yield server
    server.kill()


def train(before: int = 0, after: int = 10, *, last: bool = True) -> Iterator[None]:
    """A step that logs `after` points and a file, and yields once, before point `before`."""
    with tracking.stage_run("train", "train", params={}, config={"seed": 1}, dataset="d41d8c", last=last):
        for number in range(after):
            if number == before:
                yield
            tracking.log_metrics({"loss": float(number)}, step=number)
        Path("report.html").write_text("<h1>report</h1>", encoding="utf-8")
        tracking.log_artifact(Path("report.html"), "report")


@pytest.mark.slow
def test_a_server_that_dies_and_returns_has_everything_once(
    server: MlflowServer, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow import MlflowClient

    for _ in train(before=50, after=100):
        server.kill()
    assert capsys.readouterr().err.count("does not answer") == 1
    with pytest.raises(DataError, match=r"does not answer; 1 step\(s\) still wait"):
        tracking.sync()
    server.start()
    assert tracking.sync() == 1
    assert tracking.sync() == 0
    client = MlflowClient(server.uri)
    runs = client.search_runs([client.get_experiment_by_name("longtail").experiment_id])
    assert [one.info.status for one in runs] == ["FINISHED", "FINISHED"]
    (nested,) = [one for one in runs if "mlflow.parentRunId" in one.data.tags]
    history = client.get_metric_history(nested.info.run_id, "loss")
    assert [point.step for point in history] == list(range(100))
    assert [file.path for file in client.list_artifacts(nested.info.run_id, "report")] == ["report/report.html"]


def test_a_dead_port_costs_little_and_warns_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:secret@127.0.0.1:{free_port()}")
    started = time.monotonic()
    for _ in train(last=False):
        pass
    assert time.monotonic() - started < 20
    error = capsys.readouterr().err
    assert error.count("does not answer") == 1
    assert "secret" not in error
    (waiting,) = journal.waiting()
    assert "secret" not in (waiting / "journal.jsonl").read_text()


@pytest.mark.slow
def test_a_server_that_never_answers_costs_a_few_seconds_for_the_whole_pipeline(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as hole:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{hole.getsockname()[1]}")
        import mlflow  # noqa: F401 - the import's own seconds are not the server's

        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")  # the user's own; 5 s without it
        started = time.monotonic()
        for _ in range(5):
            for _ in train(last=False):
                pass
        assert time.monotonic() - started < 10
    assert capsys.readouterr().err.count("longtail sync") == 5
    assert len(journal.waiting()) == 5


class Refusing(BaseHTTPRequestHandler):
    """Answers every request as a server with basic authentication answers a stranger."""

    def do_POST(self) -> None:
        self.send_response(401)
        self.end_headers()
        self.wfile.write(b"You are not authenticated.")

    do_GET = do_POST  # noqa: N815 - named by http.server

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_wrong_credentials_are_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with HTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
        for _ in train(last=False):
            pass
        server.shutdown()
        thread.join()
    assert "refuses the credentials (MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD)" in capsys.readouterr().err
    assert len(journal.waiting()) == 1
