"""A real PostgreSQL on a free port of the loopback interface, as its official image starts it."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from mlflow_server import free_port


def binaries() -> Path | None:
    """The folder of initdb, postgres and pg_dump of the newest PostgreSQL that is installed."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    found = str(installed[-1]) if installed else shutil.which("initdb")
    return Path(found).parent if found else None


class PostgresServer:
    """A cluster in a folder of its own. PostgreSQL refuses to run as root: then it runs as postgres or nobody."""

    def __init__(self, arguments: list[str]) -> None:
        self.bin = binaries()
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        self._data = self.folder / "data"
        self._user = self._unprivileged()
        access = ("--username=postgres", "--auth-local=trust", "--auth-host=scram-sha-256")
        # As in the image, and whatever LANG says here.
        self._run("initdb", *access, "--locale=C.UTF-8", "--encoding=UTF8", "-D", self._data)
        self._process = subprocess.Popen(
            [*self._user, self.bin / "postgres", "-D", self._data, "-k", self.folder, "-p", str(self.port), *arguments],
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / "log").open("wb"),
            start_new_session=True,
        )
        self._wait()

    def _unprivileged(self) -> list[str]:
        if os.getuid():
            return []
        names = {entry.pw_name for entry in pwd.getpwall()}
        user = "postgres" if "postgres" in names else "nobody"
        shutil.chown(self.folder, user)
        return ["setpriv", f"--reuid={user}", "--clear-groups", "--"]

    def _run(self, program: str, *arguments: str | Path) -> None:
        command = [*self._user, self.bin / program, *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self.folder)

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            ready = [self.bin / "pg_isready", "--quiet", "--host=127.0.0.1", f"--port={self.port}"]
            if subprocess.run(ready, check=False).returncode == 0:
                return
            time.sleep(0.1)
        raise TimeoutError((self.folder / "log").read_text())

    def stop(self) -> None:
        os.killpg(self._process.pid, signal.SIGQUIT)
        self._process.wait()
        shutil.rmtree(self.folder)
