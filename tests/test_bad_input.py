"""Bad input in a step of the pipeline: one sentence, exit status 1, nothing half-written, a FAILED run in MLflow.

The steps run as a component runs them, in a process of their own, against a real S3 server and a real local store.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from s3_server import CREDENTIALS, S3Server
from small_disk import small_disk
from tiny import write_tiny_dataset

PROGRAM = """
import json, sys
from longtail.execution import execute_component
stage, paths, section = json.loads(sys.argv[1])
execute_component(stage, paths, section, "record.json")
"""


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    server = S3Server()
    yield server
    server.kill()


@pytest.fixture
def md5(tmp_path: Path, server: S3Server) -> str:
    """A tiny data set in a DVC remote at s3://data/store; its md5."""
    server.reset()
    write_tiny_dataset(tmp_path / "origin")
    return push(server, tmp_path / "origin")


def push(server: S3Server, folder: Path) -> str:
    """Store a folder as DVC does; its md5. (That DVC's own push is read is tested with the stage.)"""
    from hashlib import md5 as digest

    listing = []
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = digest(file.read_bytes(), usedforsecurity=False).hexdigest()
        server.put(f"store/files/md5/{name[:2]}/{name[2:]}", file.read_bytes())
        listing.append({"md5": name, "relpath": file.relative_to(folder).as_posix()})
    content = json.dumps(listing).encode()
    name = digest(content, usedforsecurity=False).hexdigest()
    server.put(f"store/files/md5/{name[:2]}/{name[2:]}.dir", content)
    return f"{name}.dir"


def step(folder: Path, stage: str, paths: dict[str, Path], section: dict[str, Any], **environment: str) -> str:
    """Run a step that must fail as it should; its sentence."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LONGTAIL_", "MLFLOW_", "AWS_"))}
    kept |= {**CREDENTIALS, "LONGTAIL_EXECUTION": "one", "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    argument = json.dumps([stage, {name: str(path) for name, path in paths.items()}, section])
    command = [sys.executable, "-c", PROGRAM, argument]
    done = subprocess.run(command, cwd=folder, env=kept | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if "INFO" not in line]
    assert lines[-1].startswith("error: "), done.stderr
    assert "Traceback" not in done.stderr
    return lines[-1]


def statuses(folder: Path) -> set[str]:
    """Of the execution's run and the step's, which must be there."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    runs = client.search_runs([e.experiment_id for e in client.search_experiments(filter_string="name = 'longtail'")])
    assert len(runs) == 2
    return {run.info.status for run in runs}


def assert_failed_and_clean(folder: Path, output: Path) -> None:
    assert statuses(folder) == {"FAILED"}
    assert not output.exists()
    assert not (folder / "record.json").exists()


def fetch(folder: Path, server: S3Server, md5: str, **environment: str) -> str:
    """Run a `fetch` that must fail; its sentence."""
    section = {"remote": "s3://data/store", "md5": md5}
    environment = {"AWS_ENDPOINT_URL": server.address, **environment}
    sentence = step(folder, "fetch", {"dataset": folder / "out" / "dataset"}, section, **environment)
    assert_failed_and_clean(folder, folder / "out" / "dataset")
    return sentence


def test_a_missing_md5(tmp_path: Path, server: S3Server, md5: str) -> None:
    assert "dvc push" in fetch(tmp_path, server, f"{'0' * 32}.dir")


def test_an_unreachable_remote(tmp_path: Path, server: S3Server, md5: str) -> None:
    sentence = fetch(tmp_path, server, md5, AWS_ENDPOINT_URL="http://127.0.0.1:9")
    assert "http://127.0.0.1:9" in sentence


def test_a_corrupt_object(tmp_path: Path, server: S3Server, md5: str) -> None:
    damaged = next(key for key in server.stored_keys() if not key.endswith(".dir"))
    server.put(damaged, b"something else")
    assert "damaged" in fetch(tmp_path, server, md5)


def test_wrong_credentials(tmp_path: Path, server: S3Server, md5: str) -> None:
    server.check_credentials(on=True)
    try:
        assert "credentials" in fetch(tmp_path, server, md5, AWS_ACCESS_KEY_ID="nobody")
    finally:
        server.check_credentials(on=False)


def test_a_record_that_cannot_be_written(tmp_path: Path) -> None:
    """The step has done its work, but nobody would know: it has failed, and so has its run."""
    write_tiny_dataset(tmp_path / "dataset")
    (tmp_path / "record.json").mkdir()
    paths = {"dataset": tmp_path / "dataset", "split": tmp_path / "split"}
    assert "Is a directory: record.json" in step(tmp_path, "split", paths, {"validation": 0.25, "test": 0.25})
    assert statuses(tmp_path) == {"FAILED"}


def test_an_unknown_parameter(tmp_path: Path) -> None:
    write_tiny_dataset(tmp_path / "dataset")
    paths = {"dataset": tmp_path / "dataset", "split": tmp_path / "split"}
    sentence = step(tmp_path, "split", paths, {"validtion": 0.2})
    assert "split.validtion is not a parameter; did you mean 'validation'?" in sentence
    assert_failed_and_clean(tmp_path, tmp_path / "split")


@pytest.mark.parametrize("stage", ["split", "start"])
def test_a_full_disk(stage: str, tmp_path: Path) -> None:
    write_tiny_dataset(tmp_path / "dataset", per_class=400)
    disk = tmp_path / "disk"
    disk.mkdir()
    paths = {"dataset": tmp_path / "dataset", "split": disk / "split"}
    section: dict[str, Any] = {"validation": 0.25, "test": 0.25}
    if stage == "start":
        from tiny import PARAMETERS, run_stage

        run_stage(tmp_path, "split")
        paths = {"dataset": tmp_path / "dataset", "split": tmp_path / "split", "model": disk / "model"}
        section = PARAMETERS["start"]
    with small_disk(disk, "size=8k"):
        sentence = step(tmp_path, stage, paths, section)
        assert "No space left on device" in sentence
        assert_failed_and_clean(tmp_path, disk / ("model" if stage == "start" else "split"))


@pytest.mark.parametrize("storage", ["raw", "jpeg"])
@pytest.mark.parametrize("kind", ["folder", "digits"])
def test_a_disk_that_images_fill(tmp_path: Path, storage: str, kind: str) -> None:
    """Those of a folder as they wait, the digits as they are packed."""
    for i in range(200):
        path = tmp_path / "data" / "ab"[i % 2] / f"{i:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((64, 64), 90).save(path)
    (tmp_path / "disk").mkdir()
    section = {"source": {"kind": kind}, "image_shape": [64, 64, 1], "storage": storage}
    with small_disk(tmp_path / "disk", "size=200k"):
        sentence = step(tmp_path, "ingest", {"data": tmp_path / "data", "dataset": tmp_path / "disk/dataset"}, section)
        assert "No space left on device" in sentence
        assert_failed_and_clean(tmp_path, tmp_path / "disk/dataset")
