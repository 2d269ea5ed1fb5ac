"""Files of artifacts, mutated at random: each is refused in one sentence, or changes no byte of what the step makes."""

import importlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from mutations import mutate
from tiny import ARTIFACTS, hashes, run_stage

from longtail.artifacts.digests import write_digests
from longtail.artifacts.files import remove
from longtail.errors import DataError
from longtail.stages.contract import artifacts

EACH = 140  # of 8 stages: more than 1,000


@pytest.mark.parametrize("stage", list(ARTIFACTS))
def test_mutated_artifacts(tmp_path: Path, one_task: Path, stage: str) -> None:
    whole = tmp_path / "whole"
    shutil.copytree(one_task, whole)
    write_digests(whole / "dataset")  # as `ingest` leaves it
    kinds = artifacts(importlib.import_module(f"longtail.stages.{stage}").run)
    inputs = [path for name, path in ARTIFACTS[stage].items() if kinds[name] != "output"]
    outputs = {name: f"out/{path}" for name, path in ARTIFACTS[stage].items() if kinds[name] == "output"}
    files = sorted({file.relative_to(whole) for path in inputs for file in (whole / path).rglob("*") if file.is_file()})
    run_stage(whole, stage, paths=outputs)
    expected = hashes(whole / "out")
    refused = 0
    for number in range(EACH):
        rng = np.random.default_rng([number, *stage.encode()])
        root = tmp_path / "mutated"
        for path in inputs:
            shutil.copytree(whole / path, root / path)
        file = files[int(rng.integers(len(files)))]
        what = f"{stage} {number}: {file} {mutate(root / file, rng)}"
        try:
            run_stage(root, stage, paths=outputs)
        except DataError as error:
            refused += 1
            message = str(error)
            assert str(root) in message, what
            assert "\n" not in message, what
            assert len(message) < 1000, what
            left = [one for one in (root / "out").rglob("*") if one.is_file() and ".model.work" not in one.parts]
            assert not left, what
        else:
            assert hashes(root / "out") == expected, what
        remove(root)
    assert refused > EACH / 2, "most mutations are of files that the step reads"
