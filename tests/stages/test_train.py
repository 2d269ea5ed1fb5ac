"""A training, of a round or of `fit`: interrupted at any moment it ends as if it had not been."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from tiny import ARTIFACTS, PARAMETERS, arguments, hashes, run_stage, write_parameters

from longtail.artifacts import work
from longtail.errors import DataError
from longtail.training.checkpoint import FILE
from longtail.training.loop import train
from longtail.world import World

OPTIMISATION = {**PARAMETERS["train"]["optimisation"], "iterations": 60, "checkpoint_every": 8}


def command(root: Path, parameters: Path, stage: str = "train") -> list[str]:
    return [sys.executable, "-m", "longtail", *arguments(root, stage, parameters)]


def checkpoint_step(work: Path) -> int:
    """The step of the newest checkpoint anywhere below `work`, 0 while there is none."""
    try:
        file = max(work.rglob(FILE), key=lambda file: file.stat().st_mtime)
        with safe_open(file, "pt") as stored:
            return int(json.loads(stored.metadata()["about"])["step"])
    except (OSError, ValueError):
        return 0


def work_folder(stage: str) -> Path:
    """Where a training keeps its checkpoints, below the root: beside its output."""
    return Path(ARTIFACTS[stage]["model"]).with_name(".model.work")


def kill_in_training(root: Path, parameters: Path, after: int, folder: Path | None = None, stage: str = "train") -> int:
    """Start a real training and kill it once its checkpoint is of step `after` or later; return that step."""
    folder = folder or root / work_folder(stage)
    process = subprocess.Popen(command(root, parameters, stage), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 240
        while checkpoint_step(folder) < after:
            assert process.poll() is None, process.stderr.read().decode() if process.stderr else ""
            assert time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    return checkpoint_step(folder)


@pytest.fixture
def root(tmp_path: Path, one_task: Path) -> Path:
    """All inputs of the stage, and no output yet."""
    shutil.copytree(one_task, tmp_path / "root")
    shutil.rmtree(tmp_path / "root" / "r1" / "model")
    return tmp_path / "root"


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The steps that trainings in this process do."""
    from longtail.methods.base import Method

    done: list[int] = []
    whole = Method.batch

    def counted(self: Method, step: int, world: World) -> Any:
        done.append(step)
        return whole(self, step, world)

    monkeypatch.setattr(Method, "batch", counted)
    return done


@pytest.mark.parametrize("stage", ["train", "fit"])
def test_a_killed_training_resumes_and_ends_with_the_same_bytes(
    tmp_path: Path, root: Path, steps: list[int], stage: str
) -> None:
    model = ARTIFACTS[stage]["model"]
    shutil.rmtree(root / model, ignore_errors=True)
    shutil.copytree(root, tmp_path / "unkilled")
    parameters = write_parameters(tmp_path / "params.yaml", **{stage: {"optimisation": OPTIMISATION}})
    step = kill_in_training(root, parameters, after=16, stage=stage)
    assert 16 <= step < 60
    assert not (root / model).exists()

    run_stage(root, stage, optimisation=OPTIMISATION)
    assert steps == list(range(step, 60))
    subprocess.run(command(tmp_path / "unkilled", parameters, stage), check=True, stdout=subprocess.DEVNULL)
    assert hashes(root / model) == hashes(tmp_path / "unkilled" / model)
    assert not (root / work_folder(stage)).exists()


def test_a_training_that_is_tried_again_elsewhere_finds_its_work_on_the_volume(
    tmp_path: Path, root: Path, steps: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pod that is killed is tried again with other paths for its inputs and its output, and none of its files."""
    volume = tmp_path / "volume"
    parameters = write_parameters(tmp_path / "params.yaml", train={"optimisation": OPTIMISATION})
    subprocess.run(command(shutil.copytree(root, tmp_path / "unkilled"), parameters), check=True, capture_output=True)
    second = shutil.copytree(root, tmp_path / "second" / "try")
    other = volume / "0123456789abcdef"  # another training's, which is left alone
    other.mkdir(parents=True)
    monkeypatch.setenv("LONGTAIL_WORK", str(volume))
    step = kill_in_training(root, parameters, after=16, folder=volume)
    assert not (root / "r1" / ".model.work").exists()
    assert [len(found.name) for found in volume.iterdir()] == [16, 16]
    shutil.rmtree(root)

    run_stage(second, "train", optimisation=OPTIMISATION)
    assert steps == list(range(step, 60))
    assert hashes(second / "r1") == hashes(tmp_path / "unkilled" / "r1")
    assert list(volume.iterdir()) == [other]


def test_two_trainings_of_the_same_at_once_keep_out_of_each_others_way(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = tmp_path / "volume"
    monkeypatch.setenv("LONGTAIL_WORK", str(volume))
    program = (
        "import pathlib, longtail.artifacts.work as c\n"
        "print(c.work_directory(pathlib.Path('model'), 'a' * 64), flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=-1, stdout=-1, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline().strip() == str(volume / ("a" * 16))
        mine = work.work_directory(tmp_path / "model", "a" * 64)
        assert mine.parent == volume
        assert mine.name.startswith("a" * 16 + "-")
        other.kill()
    assert work.work_directory(tmp_path / "model", "a" * 64) == volume / ("a" * 16)
    work.release()


def interrupted(root: Path, after: int, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """A training in this process that ends with an error after so many steps, as a full disk would end it."""
    from longtail.training import loop as training

    whole = training.save_checkpoint

    def failing(*args: Any) -> None:
        whole(*args)
        if args[4] >= after:
            raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(training, "save_checkpoint", failing)
        with pytest.raises(MemoryError):
            run_stage(root, "train", **changes)


def test_a_checkpoint_of_other_parameters_is_not_resumed(
    root: Path, steps: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(root, 8, monkeypatch)
    steps.clear()
    run_stage(root, "train", method={"kind": "lmle", "margins": {"g1": 0.1, "g2": 0.1, "g3": 0.5}})
    assert steps == list(range(12))


def test_a_checkpoint_of_other_inputs_is_not_resumed(
    root: Path, steps: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(root, 8, monkeypatch)
    steps.clear()
    run_stage(root, "quintuplets", seed=3)
    run_stage(root, "train")
    assert steps == list(range(12))


def test_a_checkpoint_begun_on_another_device_is_not_resumed_in_another_precision(
    root: Path, steps: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(root, 8, monkeypatch)
    steps.clear()
    for module in ("loop", "model"):
        monkeypatch.setattr(f"longtail.training.{module}.precision", lambda _: "bfloat16")  # as on a GPU
    run_stage(root, "train")
    assert steps == list(range(12))


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_every_optimiser_resumes_exactly(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, optimiser: str, momentum: float
) -> None:
    shutil.copytree(root, tmp_path / "whole")
    changes = {"optimisation": {**PARAMETERS["train"]["optimisation"], "optimiser": optimiser, "momentum": momentum}}
    interrupted(root, 8, monkeypatch, **changes)
    for place in (root, tmp_path / "whole"):
        run_stage(place, "train", **changes)
    assert hashes(root / "r1") == hashes(tmp_path / "whole" / "r1")


def test_how_often_a_checkpoint_is_written_changes_nothing(tmp_path: Path, root: Path) -> None:
    shutil.copytree(root, tmp_path / "rarely")
    run_stage(root, "train")
    run_stage(tmp_path / "rarely", "train", optimisation={**PARAMETERS["train"]["optimisation"], "checkpoint_every": 8})
    assert hashes(root / "r1") == hashes(tmp_path / "rarely" / "r1")


def test_a_torn_new_checkpoint_does_not_count(root: Path, steps: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(root, 8, monkeypatch)
    (root / "r1" / ".model.work" / f"{FILE}.new").write_bytes(b"torn")
    steps.clear()
    run_stage(root, "train")
    assert steps == list(range(8, 12))


def test_a_failed_round_keeps_the_earlier_output(root: Path) -> None:
    run_stage(root, "train")
    before = hashes(root / "r1" / "model")
    with pytest.raises(DataError, match="the loss is not finite"):
        run_stage(root, "train", optimisation={"iterations": 40, "learning_rate": 1e30})
    assert hashes(root / "r1" / "model") == before
    assert not (root / "r1" / ".model.partial").exists()


def test_one_training_is_behind_both_stages_and_one_loop_behind_all_methods() -> None:
    from longtail.stages import fit
    from longtail.stages import train as stage
    from longtail.training import model

    assert fit.train_model is stage.train_model is model.train_model
    assert model.train is train
