"""docker/push: the digests of what was pushed, and the commit that the images hold. `docker` is a stub here."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STUB = """#!/usr/bin/env bash
# Knows the images' commits from files, and a digest for whatever is pushed.
case "$1 $2" in
"image inspect")
  case "$4" in
  *revision*) cat "$(dirname "$0")/$(cut -d: -f1 <<<"$5")" ;;
  *) echo "other.example/${5%%:*}@sha256:1"; echo "${5%%:*}@sha256:$(md5sum <<<"$5" | cut -c1-32)" ;;
  esac ;;
*) echo "$*" >>"$(dirname "$0")/calls" ;;
esac
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkout with docker/push, and a `docker` whose images are of the commit "abc"."""
    (tmp_path / "docker").mkdir()
    shutil.copy(ROOT / "docker" / "push", tmp_path / "docker" / "push")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "docker").write_text(STUB)
    (tmp_path / "bin" / "docker").chmod(0o755)
    for name in ("longtail-cpu", "longtail-cuda"):
        (tmp_path / "bin" / name).write_text("abc\n")
    return tmp_path


def push(folder: Path) -> subprocess.CompletedProcess[str]:
    command = ["docker/push", folder / "bin" / "docker", "registry.example/team"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_digests_and_the_commit_of_the_images_are_noted(folder: Path) -> None:
    assert push(folder).returncode == 0
    noted = json.loads((folder / "docker" / "images.json").read_text())
    assert noted["commit"] == "abc"
    for name in ("cpu", "cuda", "mlflow"):
        assert noted[name].startswith(f"registry.example/team/longtail-{name}@sha256:")
    calls = (folder / "bin" / "calls").read_text().splitlines()
    assert "push --quiet registry.example/team/longtail-cuda:abc" in calls


def test_images_of_different_commits_are_refused(folder: Path) -> None:
    (folder / "bin" / "longtail-cuda").write_text("def\n")
    done = push(folder)
    assert done.returncode == 1
    assert "of different commits: run make images" in done.stderr
    assert not (folder / "docker" / "images.json").exists()
    assert not (folder / "bin" / "calls").exists()
