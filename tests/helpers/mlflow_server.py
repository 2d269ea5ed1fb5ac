"""A real MLflow server on a free port of the loopback interface, and an MLflow database to start from."""

import functools
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def make_database(path: Path) -> Path:
    """An empty, migrated MLflow database; the migrations, which take seconds, run once a test session."""
    path.write_bytes(_migrated())
    return path


@functools.cache
def _migrated() -> bytes:
    from mlflow import MlflowClient

    with tempfile.TemporaryDirectory() as folder:
        MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments(max_results=1)
        return (Path(folder) / "mlflow.db").read_bytes()


class MlflowServer:
    """`mlflow server` over a database and an artifact folder; it can be killed and started again on its port."""

    def __init__(self, database: Path, artifacts: Path) -> None:
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._arguments = [
            *("--backend-store-uri", f"sqlite:///{database}", "--artifacts-destination", str(artifacts)),
            *("--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"),
        ]
        self._log = database.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        environment.pop("MLFLOW_TRACKING_URI", None)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", *self._arguments],
                stdout=log,
                stderr=log,
                env=environment,
                cwd=self._log.parent,
                start_new_session=True,
            )
        self._wait()

    def kill(self) -> None:
        """End the server and its workers at once, as a crash does."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _wait(self) -> None:
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{self.uri}/health", timeout=2):
                    return
            except OSError:
                time.sleep(0.2)
        raise TimeoutError(f"mlflow server did not start:\n{self._log.read_text()[-3000:]}")
