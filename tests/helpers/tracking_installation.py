"""The tracking server of infra/ on this machine: PostgreSQL, an S3 server, and MLflow started as its manifest says.

Commands, arguments, files and variables are read out of the rendered overlay. Replaced are only addresses, ports and
paths: see `here`.
"""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from manifests import environment, expand, find, pod_template
from mlflow_server import free_port
from postgres_server import PostgresServer
from s3_server import S3Server


class Installation:
    def __init__(self, objects: list[dict[str, Any]], folder: Path) -> None:
        self.objects = objects
        self.folder = folder
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._store = S3Server()
        self.s3 = self._store.address
        (database,) = self._containers("StatefulSet", "postgres")
        self.postgres = PostgresServer(database["args"])
        (self.server,) = self._containers("Deployment", "mlflow")
        self._process: subprocess.Popen[bytes] | None = None
        self._write_files()
        self._run(database, command=["/docker-entrypoint-initdb.d/init-mlflow.sh"])

    def _write_files(self) -> None:
        (self.folder / "tmp").mkdir()
        (self.folder / "backup").mkdir()
        for name in ("mlflow", "postgres-init", "postgres-backup"):
            (self.folder / name).mkdir()
            for file, content in find(self.objects, "ConfigMap", name)["data"].items():
                path = self.folder / name / file
                path.write_text(self.here(content))
                path.chmod(0o555)

    def here(self, text: str) -> str:
        """What is elsewhere in the cluster and here."""
        for there, here in {
            "@postgres:5432": f"@127.0.0.1:{self.postgres.port}",
            "/etc/mlflow": str(self.folder / "mlflow"),
            "/docker-entrypoint-initdb.d": str(self.folder / "postgres-init"),
            "/scripts": str(self.folder / "postgres-backup"),
            "http://minio-service.kubeflow.svc.cluster.local:9000": self.s3,
            ":5000": f":{self.port}",
            "--port=5000": f"--port={self.port}",
        }.items():
            text = text.replace(there, here)
        return text

    def _containers(self, kind: str, name: str, which: str = "containers") -> list[dict[str, Any]]:
        template = pod_template(find(self.objects, kind, name))
        assert template is not None
        return template["spec"][which]

    def variables(self, container: dict[str, Any]) -> dict[str, str]:
        """The container's own environment, and what its image has: a path, a home that can be written."""
        values = {name: self.here(value) for name, value in environment(self.objects, container).items()}
        path = f"{Path(sys.executable).parent}:{self.postgres.bin}:/usr/bin:/bin"
        image = {"PATH": path, "HOME": str(self.folder)}
        # The client finds the server by PGHOST in the cluster, and on its socket in the database's own container.
        server = {"PGHOST": "127.0.0.1" if "PGHOST" in values else str(self.postgres.folder)}
        return image | values | server | {"PGPORT": str(self.postgres.port)}

    def _start(
        self, container: dict[str, Any], command: list[str] | None, log: Any, other: dict[str, str]
    ) -> subprocess.Popen[bytes]:
        values = environment(self.objects, container)
        words = command or [*container["command"], *container.get("args", [])]
        return subprocess.Popen(
            [self.here(expand(word, values)) for word in words],
            env=self.variables(container) | other,
            cwd=self.folder / container.get("workingDir", "tmp").lstrip("/"),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def _run(self, *containers: dict[str, Any], command: list[str] | None = None, **other: str) -> None:
        processes = [self._start(one, command, subprocess.PIPE, other) for one in containers]
        outputs = [process.communicate()[0].decode() for process in processes]
        assert [process.returncode for process in processes] == [0] * len(processes), "\n".join(outputs)

    def run(self, kind: str, name: str, *, command: list[str] | None = None, **other: str) -> None:
        """The container of a job, with its own command or another in its place; fails with what it printed."""
        self._run(*self._containers(kind, name), command=command, **other)

    def migrate(self, replicas: int = 1) -> None:
        """What runs before each server; several at once, as when a Deployment starts."""
        self._run(*self._containers("Deployment", "mlflow", "initContainers") * replicas)

    def start(self) -> None:
        with (self.folder / "server.log").open("ab") as log:
            self._process = self._start(self.server, None, log, {})
        self.wait()

    def wait(self) -> None:
        """Until the server answers."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"{self.uri}/health", timeout=2).close()
            except OSError:
                time.sleep(0.2)
            else:
                return
        raise TimeoutError((self.folder / "server.log").read_text()[-3000:])

    def kill(self) -> None:
        """End the server and its workers at once, as a node that goes down does."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        self.kill()
        self.postgres.stop()
        self._store.kill()
