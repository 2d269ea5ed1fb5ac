"""A damaged file of an artifact, as a full disk or a broken copy leaves it: one sentence on it, and no output.

Here the artifacts have no digests, as some that were made by hand: what reads a file has to find out by itself.
test_mutations.py has the same with digests.
"""

import importlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import ARTIFACTS, run_stage

from longtail.errors import DataError
from longtail.stages.contract import artifacts

# What a stage has among its inputs and does not read.
UNREAD = {
    "fit": ("model/state.json", "current/embeddings-*", "current/network.json", "current/prior.json"),
    "cluster": ("model/current/logits-*", "model/current/network.*", "current/prior.json"),
    "quintuplets": ("model/current/logits-*", "model/current/*.safetensors", "current/prior.json"),
    "train": ("model/current/network.json", "current/prior.json", "quintuplets/centroids-*"),
    "index": ("model/current/network.*",),
    "evaluate": ("snapshot/network.*", "snapshot/prior.json"),
}

# JSON that is taken as it is.
UNCHECKED = ("tasks.json", "rules.json", "about.json")


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def nothing(content: bytes) -> bytes:
    return b""


def another_format(content: bytes) -> bytes:
    return b'{"format": 0}' if content.startswith(b"{") else b"PK\x03\x04" + content


@pytest.mark.parametrize("damage", [half, nothing, another_format])
@pytest.mark.parametrize("stage", list(ARTIFACTS))
def test_every_file_that_a_stage_reads(
    tmp_path: Path, one_task: Path, stage: str, damage: Callable[[bytes], bytes]
) -> None:
    shutil.copytree(one_task, tmp_path, dirs_exist_ok=True)
    for file in tmp_path.rglob("digests.json"):
        file.unlink()
    kinds = artifacts(importlib.import_module(f"longtail.stages.{stage}").run)
    paths = ARTIFACTS[stage]
    outputs = {name: f"out/{path}" for name, path in paths.items() if kinds[name] == "output"}
    tried = []
    for artifact in (tmp_path / path for name, path in paths.items() if kinds[name] != "output"):
        for file in (one for one in artifact.rglob("*") if one.is_file()):
            unread = UNREAD.get(stage, ()) + (UNCHECKED if damage is another_format else ())
            if any(file.match(pattern) for pattern in unread):
                continue
            content = file.read_bytes()
            file.write_bytes(damage(content))
            tried.append(file)
            with pytest.raises(DataError) as refusal:
                run_stage(tmp_path, stage, paths=outputs)
            message = str(refusal.value)
            assert str(artifact) in message, file
            assert "\n" not in message, file
            file.write_bytes(content)
    assert len(tried) >= 3
    # A checkpoint may be left, of a training whose score could not be computed.
    assert not [file for file in (tmp_path / "out").rglob("*") if file.is_file() and ".model.work" not in file.parts]
