"""Tracking over HTTP: servers that die, hang, or refuse. What was logged arrives, once, and the step goes on."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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


class Answering(BaseHTTPRequestHandler):
    """Answers every request with `status`, as a server with basic authentication or a proxy does."""

    status = 401

    def do_POST(self) -> None:
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(b"<html>This is no answer of MLflow's.</html>")

    do_GET = do_POST  # noqa: N815 - named by http.server

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def answering(status: int) -> Iterator[str]:
    """The address of a server that answers so."""
    handler = type("Handler", (Answering,), {"status": status})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, "refuses the credentials (MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD)"),
        (403, "refuses the credentials (MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD)"),
        *((status, f"answers with the HTTP status {status}") for status in (404, 429, 500, 502, 503, 504)),
    ],
)
def test_what_a_server_answers_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], status: int, says: str
) -> None:
    with answering(status) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        for _ in train(last=False):
            pass
    assert says in capsys.readouterr().err
    assert len(journal.waiting()) == 1


@contextmanager
def dripping(head: bytes) -> Iterator[str]:
    """The address of a server that sends the head of its answer at once, then a byte now and then, without an end."""
    ended = threading.Event()

    def drip(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.sendall(head)
            while not ended.wait(0.3):
                connection.sendall(b" ")

    def serve(listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=drip, args=[listening.accept()[0]], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, args=[listening], daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        ended.set()
        listening.shutdown(socket.SHUT_RDWR)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "head",
    [b"", b"HTTP/1.1 200", HEAD + b"X-Slow: ", HEAD + b"Content-Length: 1000\r\n\r\n{", HEAD + b"\r\n{"],
    ids=["from the start", "in the status", "in a header", "in the body", "in a body of unknown length"],
)
def test_a_server_that_drips_costs_one_deadline(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], head: bytes
) -> None:
    import mlflow  # noqa: F401 - the import's own seconds are not the server's

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")  # the user's own; 5 s without it
    with dripping(head) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        started = time.monotonic()
        for _ in train(last=False):
            pass
        # Once while the step runs, and once when it ends.
        assert time.monotonic() - started < 8
    assert capsys.readouterr().err.count("does not answer") == 1
    assert len(journal.waiting()) == 1
