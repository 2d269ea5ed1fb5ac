"""`dvc push` and `dvc pull` against an S3 remote: a real pipeline in its own repository, a real S3 server."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

PIPELINE = """
stages:
  square:
    cmd: python -c "from pathlib import Path; Path('out').mkdir(); Path('out/a.txt').write_text('1 4 9')"
    outs: [out]
"""

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "user", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[str]:
    """The address of an S3 server with the empty bucket "data"."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield make_bucket(f"http://127.0.0.1:{port}")
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def make_bucket(address: str) -> str:
    request = urllib.request.Request(f"{address}/data", method="PUT")
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(request, timeout=5):
                return address
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3: str) -> Path:
    """A DVC repository whose only stage makes `out`, and whose default remote is the bucket."""
    path = tmp_path / "repository"
    path.mkdir()
    monkeypatch.chdir(path)
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    (path / "dvc.yaml").write_text(PIPELINE)
    dvc("init", "--no-scm")
    dvc("remote", "add", "--default", "store", "s3://data/longtail")
    dvc("remote", "modify", "--local", "store", "endpointurl", s3)
    return path


def dvc(*arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", "dvc", *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_pull_restores_what_push_stored(repository: Path) -> None:
    dvc("repro")
    dvc("push")
    shutil.rmtree(repository / "out")
    shutil.rmtree(repository / ".dvc" / "cache")
    dvc("pull")
    assert (repository / "out" / "a.txt").read_text() == "1 4 9"
    assert "up to date" in dvc("status")
