"""Digests of an artifact's files: whatever is changed afterwards is named."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny import write_tiny_dataset

from longtail.artifacts.digests import check_artifact, write_digests
from longtail.artifacts.reading import read_json
from longtail.data.dataset import PackedDataset
from longtail.errors import DataError


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    (tmp_path / "one" / "rules").mkdir(parents=True)
    for name in ("state.json", "rules/points.npy", "images-00000.npy"):
        (tmp_path / "one" / name).write_bytes(name.encode())
    write_digests(tmp_path / "one")
    return tmp_path / "one"


def test_what_is_as_it_was_written_passes(artifact: Path) -> None:
    assert list(read_json(artifact / "digests.json")) == ["images-00000.npy", "rules/points.npy", "state.json"]
    check_artifact(artifact)


def test_a_copy_elsewhere_passes_and_what_file_managers_leave_is_no_matter(artifact: Path, tmp_path: Path) -> None:
    artifact.rename(tmp_path / "two")
    (tmp_path / "two" / ".DS_Store").write_bytes(b"view")
    check_artifact(tmp_path / "two")


def test_an_artifact_without_digests_is_taken_as_it_is(artifact: Path) -> None:
    (artifact / "digests.json").unlink()
    (artifact / "state.json").write_bytes(b"other")
    check_artifact(artifact)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda root: (root / "state.json").write_bytes(b"state.jsoN"), "state.json has changed"),
        (lambda root: (root / "state.json").unlink(), "state.json is missing"),
        (lambda root: (root / "images-00000.npy").unlink(), "images-00000.npy is missing"),
        (lambda root: (root / "rules" / "new.npy").write_bytes(b""), "rules/new.npy was not written by it"),
        (lambda root: (root / "state.json").rename(root / "State.json"), "state.json is missing"),
        (lambda root: ((root / "state.json").unlink(), os.mkfifo(root / "state.json")), "state.json is missing"),
        (lambda root: ((root / "digests.json").unlink(), os.mkfifo(root / "digests.json")), "digests.json is no file"),
        (lambda root: (root / "digests.json").write_text("[1]", encoding="utf-8"), "digests.json has changed"),
        (lambda root: (root / "digests.json").write_bytes(b"{"), "cannot read .*digests.json"),
    ],
)
def test_a_change_is_told_in_one_sentence(artifact: Path, change: Callable[[Path], object], what: str) -> None:
    change(artifact)
    with pytest.raises(DataError, match=what) as refusal:
        check_artifact(artifact)
    assert str(artifact) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_images_are_checked_when_they_are_read(tmp_path: Path) -> None:
    write_tiny_dataset(tmp_path / "dataset")
    write_digests(tmp_path / "dataset")
    file = tmp_path / "dataset" / "images-00000.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    check_artifact(tmp_path / "dataset")
    packed = PackedDataset.open(tmp_path / "dataset")
    with pytest.raises(DataError, match=r"images-00000.npy has changed"):
        packed.images(np.array([0]))
