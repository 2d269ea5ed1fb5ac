"""Docker; and a workspace in which `dvc repro` and `pipelines local` have run: made once, only read."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest
from shared import shared
from workspace import Workspace

from components.images import CPU, CUDA


@dataclass(frozen=True)
class Finished:
    """`ingested`: a workspace at a git commit whose data is made; `workspace`: the same after `dvc repro`, tracked, and
    after the local pipeline, whose tasks are in `tasks`.
    """

    root: Path

    @property
    def ingested(self) -> Workspace:
        return Workspace(self.root / "ingested", new=False)

    @property
    def workspace(self) -> Workspace:
        return Workspace(self.root / "workspace", new=False)

    @property
    def tasks(self) -> Path:
        return Path((self.root / "tasks").read_text())

    def copy(self, path: Path, *, ingested: bool = False) -> Workspace:
        """A workspace of one's own, as it was when it was finished or when its data was made."""
        source = self.root / ("ingested" if ingested else "workspace")
        shutil.copytree(source, path, symlinks=True)
        if (path / "mlflow.db").exists():
            # MLflow's database holds the absolute folder of the artifacts: the copy's runs belong in the copy.
            with closing(sqlite3.connect(path / "mlflow.db")) as database, database:
                database.execute(
                    "UPDATE experiments SET artifact_location = replace(artifact_location, ?, ?)",
                    (str(source), str(path)),
                )
        return Workspace(path, new=False)


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    command = ["git", *identity, *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def _make(root: Path) -> None:
    (root / "ingested").mkdir()
    workspace = Workspace(root / "ingested")
    workspace.write_parameters()
    git(workspace.path, "init", "-q")
    git(workspace.path, "add", "params.yaml", "dvc.yaml")
    git(workspace.path, "commit", "-qm", "first")
    workspace.environment["LONGTAIL_TRACKING"] = "off"
    workspace.dvc("repro", "ingest")
    shutil.copytree(workspace.path, root / "workspace", symlinks=True)
    whole = Workspace(root / "workspace", new=False)
    whole.dvc("repro", "--force")
    tasks = whole.local("--runner", "subprocess", "--root", str(root / "local"))
    (root / "tasks").write_text(str(tasks))


@pytest.fixture(scope="module")
def engine() -> Iterator[Any]:
    """Docker, with the images; where there is none the tests are skipped, but in CI they fail."""
    try:
        client = docker.from_env()
        for image in (CPU, CUDA):
            client.images.get(image)
    except docker.errors.DockerException as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"needs Docker and `make images`: {error}")
    yield client
    client.close()


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    for root in shared(tmp_path_factory, "finished", _make):
        yield Finished(root)
