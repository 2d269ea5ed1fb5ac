"""The tracking server's image under the restrictions of its manifest: its user, a read-only root, no capabilities."""

import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from manifests import environment, expand, find, missing, pod_template, render
from postgres_server import binaries
from test_tracking_infra import answer
from tracking_installation import Installation

IMAGE, NAME = "longtail-mlflow:local", f"longtail-mlflow-test-{uuid.uuid4().hex[:8]}"

pytestmark = [pytest.mark.docker, pytest.mark.slow]


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    if (
        not shutil.which("docker")
        or subprocess.run(["docker", "image", "inspect", IMAGE], check=False, capture_output=True).returncode
    ):
        missing(f"no Docker, or no {IMAGE}: run `make images`")
    if binaries() is None:
        missing("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    installation = Installation(render("local"), tmp_path)
    try:
        yield installation
    finally:
        subprocess.run(["docker", "rm", "--force", NAME], check=False, capture_output=True)
        installation.stop()


def docker(installation: Installation, container: dict[str, Any], folder: Path) -> list[str]:
    """`docker run`, restricted as the kubelet restricts the container."""
    pod = pod_template(find(installation.objects, "Deployment", "mlflow"))["spec"]["securityContext"]
    security = container["securityContext"]
    values = environment(installation.objects, container)
    here = {name: installation.here(value) for name, value in values.items()}
    here["MLFLOW_AUTH_CONFIG_PATH"] = values["MLFLOW_AUTH_CONFIG_PATH"]
    return [
        *("docker", "run", "--rm", f"--name={NAME}", "--network=host"),
        f"--user={pod['runAsUser']}:{pod['runAsGroup']}",
        *([f"--cap-drop={name}" for name in security["capabilities"]["drop"]]),
        *(["--read-only"] if security["readOnlyRootFilesystem"] else []),
        *([] if security["allowPrivilegeEscalation"] else ["--security-opt=no-new-privileges"]),
        f"--memory={container['resources']['limits']['memory'].lower().removesuffix('i')}",
        # The folder's parents are closed to other users; what is mounted from it is not.
        *("--tmpfs=/tmp:mode=1777", f"--volume={folder}/mlflow:/etc/mlflow:ro"),
        *(f"--env={name}={value}" for name, value in here.items()),
        IMAGE,
        *container["command"],
        *(installation.here(expand(word, values)) for word in container.get("args", [])),
    ]


def test_the_server_runs_under_its_restrictions(installation: Installation, tmp_path: Path) -> None:
    spec = pod_template(find(installation.objects, "Deployment", "mlflow"))["spec"]
    (migrate,), (server,) = spec["initContainers"], spec["containers"]
    done = subprocess.run(docker(installation, migrate, tmp_path), check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    process = subprocess.Popen(
        docker(installation, server, tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    installation.wait()
    values = environment(installation.objects, migrate)
    user = values["MLFLOW_TRACKING_USERNAME"], values["MLFLOW_TRACKING_PASSWORD"]
    path, body = "/api/2.0/mlflow/experiments/create", {"name": "restricted"}
    assert answer(installation.uri, path, user=user, body=body)[0] == 200
    # On SIGTERM, which an update sends, it ends by itself.
    started = time.monotonic()
    subprocess.run(["docker", "stop", "--time=30", NAME], check=True, capture_output=True)
    process.wait()
    assert time.monotonic() - started < 15
