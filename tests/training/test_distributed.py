"""Two processes that torchrun starts train as one does with mini-batches twice as large, and leave what one leaves.

Class rectification and what compares the samples of a mini-batch are the exceptions: every process has its own.
"""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
import torch.distributed as dist
from mlflow_server import make_database
from safetensors import safe_open
from safetensors.torch import load_file
from tiny import ARTIFACTS, CRL, hashes, run_stage
from torchrun import OPTIMISATION, logged_steps, run, torchrun

from longtail.data.splits import Split
from longtail.data.transforms import Augmentation
from longtail.methods.base import Sampling, Setup
from longtail.methods.softmax import Softmax
from longtail.network.backbones import build_backbone
from longtail.network.device import device
from longtail.network.embedder import load_embedder
from longtail.network.snapshot import State, current
from longtail.training.checkpoint import FILE
from longtail.training.distributed import PATIENCE, process_group, synchronise_batch_norm
from longtail.training.early_stopping import validation_loss
from longtail.training.inputs import open_inputs
from longtail.world import ALONE, World

SLOW = {**OPTIMISATION, "learning_rate": 0.01}  # larger steps amplify the rounding from one to the next
# Sums of float32 in another order; measured: 2e-6 of a small hinge, 1e-7 of the loss, 3e-7 on the weights.
TOLERANCE = 1e-5


@pytest.fixture
def root(tmp_path: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return shutil.copytree(prepared, tmp_path / "root")


def program(folder: Path, *lines: str) -> list[str]:
    """The command line after some lines of Python, in which `rank` is known."""
    file = folder / "program.py"
    begin = ["import os", "rank = int(os.environ['RANK'])", *lines]
    file.write_text("\n".join([*begin, "from longtail.__main__ import main", "main()"]) + "\n")
    return [str(file)]


def curve(root: Path, model: str) -> list[dict[str, float]]:
    return State.read(root / model).history[-1].curve


def assert_same_training(root: Path, other: Path, model: str) -> None:
    one, two = curve(root, model), curve(other, model)
    assert abs(one[-1]["loss"] - one[0]["loss"]) > 0.01 * one[0]["loss"]  # something was learnt
    assert len(one) == len(two)
    for expected, found in zip(one, two, strict=True):
        assert found == pytest.approx(expected, rel=TOLERANCE)
    weights = load_file(other / model / "current" / "network.safetensors")
    for name, expected_weight in load_file(root / model / "current" / "network.safetensors").items():
        assert torch.allclose(weights[name], expected_weight, rtol=TOLERANCE, atol=TOLERANCE), name


@pytest.mark.slow
def test_two_processes_train_a_round_as_one_with_the_doubled_batch_and_one_writes(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = shutil.copytree(root, tmp_path / "one")
    run_stage(one, "train", batch=24, optimisation=SLOW)
    make_database(tmp_path / "mlflow.db")
    monkeypatch.delenv("LONGTAIL_TRACKING")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    done = run(torchrun(root, "train", batch=12, optimisation=SLOW), tmp_path)
    assert done.returncode == 0, done.stderr

    assert_same_training(one, root, "r1/model")
    assert sorted(path.name for path in (root / "r1").iterdir()) == ["clusters", "model", "quintuplets"]
    assert set(hashes(root)) == set(hashes(one))
    metrics = json.loads((tmp_path / "root-metrics.json").read_text())
    assert metrics["final_loss"] == curve(root, "r1/model")[-1]["loss"]
    assert metrics["processes"] == 2
    assert done.stderr.count(" steps, of about ") == 1  # one of them speaks
    subprocess.run([sys.executable, "-m", "longtail", "sync"], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    assert logged_steps(tmp_path) == ["train"]


@pytest.mark.slow
def test_two_processes_train_a_classifier_as_one_with_the_doubled_batch(tmp_path: Path, root: Path) -> None:
    one = shutil.copytree(root, tmp_path / "one")
    run_stage(one, "fit", batch=24, optimisation=SLOW)
    done = run(torchrun(root, "fit", batch=12, optimisation=SLOW), tmp_path)
    assert done.returncode == 0, done.stderr
    assert_same_training(one, root, ARTIFACTS["fit"]["model"])


@pytest.mark.slow
def test_two_processes_rectify_the_classes_of_their_own_mini_batches(tmp_path: Path, root: Path) -> None:
    model, how = ARTIFACTS["fit"]["model"], {**SLOW, "iterations": 4, "log_every": 1}
    one = shutil.copytree(root, tmp_path / "one")
    crl = {**CRL, "name": "softmax"}  # where the tiny pipeline's only training of `fits` is
    run_stage(one, "fit", batch=48, optimisation=how, **crl)
    done = run(torchrun(root, "fit", batch=24, optimisation=how, **crl), tmp_path)
    assert done.returncode == 0, done.stderr
    whole, halves = curve(one, model)[0], curve(root, model)[0]
    assert halves["cross_entropy"] == pytest.approx(whole["cross_entropy"], rel=TOLERANCE)
    # Other hard samples, but a mean over the processes: a sum would be twice as much.
    assert halves["rectification"] != pytest.approx(whole["rectification"], rel=TOLERANCE)
    assert halves["rectification"] == pytest.approx(whole["rectification"], rel=0.4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "part"),
    [({"kind": "contrastive", "two_views": True}, "loss"), ({"kind": "balanced_contrastive"}, "contrastive")],
)
def test_two_processes_compare_the_samples_of_their_own_mini_batches(
    tmp_path: Path, root: Path, method: dict[str, Any], part: str
) -> None:
    model, how = ARTIFACTS["fit"]["model"], {**SLOW, "iterations": 4, "log_every": 1}
    one, natural = shutil.copytree(root, tmp_path / "one"), {"sampling": "natural", "cost": False}
    run_stage(one, "fit", batch=48, optimisation=how, method=method, **natural)
    done = run(torchrun(root, "fit", batch=24, optimisation=how, method=method, **natural), tmp_path)
    assert done.returncode == 0, done.stderr
    whole, halves = curve(one, model)[0], curve(root, model)[0]
    if part != "loss":
        assert halves["cross_entropy"] == pytest.approx(whole["cross_entropy"], rel=TOLERANCE)
    # Among fewer samples, but a mean over the processes: a sum would be twice as much.
    assert halves[part] != pytest.approx(whole[part], rel=TOLERANCE)
    assert halves[part] == pytest.approx(whole[part], rel=0.4)


@pytest.mark.slow
def test_what_two_processes_measure_for_early_stopping_is_the_network_that_is_kept(tmp_path: Path, root: Path) -> None:
    """The statistics of batch normalisation are each process's own, and those of the first are kept."""
    model, natural = ARTIFACTS["fit"]["model"], {"sampling": "natural", "cost": False}
    how = {**OPTIMISATION, "iterations": 16, "early_stopping": 16, "freeze_batch_norm": False, "augmentation": {}}
    done = run(torchrun(root, "fit", batch=12, optimisation=how, method={"kind": "softmax"}, **natural), tmp_path)
    assert done.returncode == 0, done.stderr
    table = Split.open(root / "split")
    labels = {task.name: np.where(table.subset == "validation", table.labels(task), -1) for task in table.tasks}
    method = Softmax(Setup(labels, Sampling(batch=24, sampling="natural", cost=0), 0))
    network = load_embedder(current(root / model)).network
    assert network is not None
    inputs = open_inputs(root / "dataset", table, Augmentation())
    alone = validation_loss(network.to(device()), method, inputs, seed=0, halved=False)
    assert min(point["validation_loss"] for point in curve(root, model)) == pytest.approx(alone, rel=TOLERANCE)


@pytest.mark.slow
def test_each_process_draws_its_own_dropout(tmp_path: Path, root: Path) -> None:
    noting = program(
        tmp_path,
        "import torch",
        "whole = torch.nn.functional.dropout",
        "def noted(values, p, training, inplace):",
        "    if training:",
        "        with open(f'masks-{rank}', 'a') as masks: print(whole(torch.ones(64), p).tolist(), file=masks)",
        "    return whole(values, p, training, inplace)",
        "torch.nn.functional.dropout = noted",
    )
    how = {"optimisation": {**SLOW, "iterations": 4}, "network": {"embedding": 8, "dropout": 0.5}}
    run_stage(root, "start", network=how["network"])
    done = run(torchrun(root, "fit", noting, **how), tmp_path)
    assert done.returncode == 0, done.stderr
    one, other = ((tmp_path / f"masks-{rank}").read_text().splitlines() for rank in range(2))
    assert len(one) == len(other) >= 4
    assert len({*one, *other}) == len(one) + len(other)


def checkpoint_step(volume: Path) -> int:
    """The step of the one checkpoint on the volume, 0 while there is none."""
    try:
        with safe_open(next(volume.rglob(FILE)), "pt") as stored:
            return int(json.loads(stored.metadata()["about"])["step"])
    except (OSError, StopIteration):
        return 0


def kill_in_training(command: list[str], cwd: Path, volume: Path, after: int) -> None:
    """Kill launcher and processes once the checkpoint is of step `after` or later."""
    with (cwd / "killed.txt").open("w") as errors:
        launcher = subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=errors)
    tree = [psutil.Process(launcher.pid)]
    try:
        deadline = time.monotonic() + 240
        while checkpoint_step(volume) < after:
            assert launcher.poll() is None, (cwd / "killed.txt").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        tree += tree[0].children(recursive=True)
        for process in tree:
            process.kill()
        launcher.wait()
        psutil.wait_procs(tree, timeout=10)
    assert len(tree) >= 3


@pytest.mark.slow
def test_two_killed_processes_resume_and_end_with_the_same_bytes(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"optimisation": {**OPTIMISATION, "iterations": 80, "freeze_batch_norm": False}}
    unkilled = shutil.copytree(root, tmp_path / "unkilled")
    done = run(torchrun(unkilled, "train", **changes), tmp_path)
    assert done.returncode == 0, done.stderr

    volume, private = tmp_path / "volume", tmp_path / "private"
    monkeypatch.setenv("LONGTAIL_WORK", str(volume))
    # The second process is on a machine that does not see the volume. Both note the steps that they do.
    noting = program(
        tmp_path,
        f"if rank: os.environ['LONGTAIL_WORK'] = {str(private)!r}",
        "from longtail.training import loop as training",
        "whole = training.learning_rate",
        "def noted(optimisation, iterations, step, stretch):",
        "    with open(f'steps-{rank}', 'a') as steps: print(step, file=steps)",
        "    return whole(optimisation, iterations, step, stretch)",
        "training.learning_rate = noted",
    )
    command = torchrun(root, "train", noting, **changes)
    kill_in_training(command, tmp_path, volume, after=16)
    step = checkpoint_step(volume)
    assert 16 <= step < 80
    assert not (root / "r1" / "model").exists()

    for steps in tmp_path.glob("steps-*"):
        steps.unlink()
    done = run(command, tmp_path)
    assert done.returncode == 0, done.stderr
    for rank in range(2):
        assert [int(line) for line in (tmp_path / f"steps-{rank}").read_text().splitlines()] == list(range(step, 80))
    assert hashes(root / "r1") == hashes(unkilled / "r1")
    assert list(volume.iterdir()) == []
    assert not private.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"optimisation": {**OPTIMISATION, "learning_rate": 1e30}}, "the loss is not finite at iteration"),
        ({"optimiser": "adam"}, "train.optimiser is not a parameter"),
    ],
)
def test_an_error_of_all_processes_is_one_sentence_and_fails_the_command(
    tmp_path: Path, root: Path, changes: dict[str, Any], says: str
) -> None:
    done = run(torchrun(root, "train", **changes), tmp_path)
    assert done.returncode != 0
    sentences = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(sentences) == done.stderr.count(says) == 1
    assert says in sentences[0]
    assert not (root / "r1" / "model").exists()
    assert not (root / "r1" / ".model.partial").exists()


@pytest.mark.slow
@pytest.mark.parametrize("failing", [0, 1])
def test_a_process_that_fails_alone_fails_the_command(tmp_path: Path, root: Path, failing: int) -> None:
    """The first one after the training, when the other waits for it; the other one in the midst of it."""
    where = (
        ("longtail.stages.train", "validation_scores") if failing == 0 else ("longtail.training.loop", "learning_rate")
    )
    broken = program(
        tmp_path,
        f"import {where[0]} as module",
        "from longtail.errors import DataError",
        "def broken(*args): raise DataError('no more luck')",
        f"if rank == {failing}: module.{where[1]} = broken",
    )
    done = run(torchrun(root, "train", broken), tmp_path)
    assert done.returncode != 0
    assert done.stderr.count("error: no more luck\n") == 1
    assert sorted(path.name for path in (root / "r1").iterdir() if ".work" not in path.name) == [
        "clusters",
        "quintuplets",
    ]
    assert not (tmp_path / "root-metrics.json").exists()


def test_a_world_of_one_makes_no_process_group(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = shutil.copytree(root, tmp_path / "other")
    run_stage(root, "train")
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(dist, "init_process_group", None)
    run_stage(other, "train")
    assert hashes(root) == hashes(other)


def test_the_others_wait_for_what_the_first_process_does_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """In any exchange, not in the last alone."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}.items():
        monkeypatch.setenv(name, value)
    with process_group(World(0, 2)):
        assert dist.group.WORLD is not None
        timeout = dist.group.WORLD._get_backend(torch.device("cpu")).options._timeout
    assert timeout == PATIENCE


def test_a_stage_that_does_not_train_is_the_same_in_any_process(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = hashes(root / "r1" / "clusters")
    shutil.rmtree(root / "r1" / "clusters")
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert run_stage(root, "cluster")
    assert hashes(root / "r1" / "clusters") == before


@pytest.mark.parametrize("backbone", ["small_cnn", "resnet18", "timm/tf_efficientnet_lite0"])
def test_batch_norm_over_all_gpus_changes_neither_names_nor_weights_nor_what_a_trained_network_gives(
    monkeypatch: pytest.MonkeyPatch, backbone: str
) -> None:
    """Activations neither, which timm has within its batch normalisation."""
    network, images = build_backbone(backbone, (32, 32, 3))[0], torch.rand(4, 3, 32, 32)
    normalising = sum(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    expected, before = network.eval()(images), network.state_dict()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    synchronise_batch_norm(ALONE, network)
    assert not any(isinstance(module, torch.nn.SyncBatchNorm) for module in network.modules())
    synchronise_batch_norm(World(0, 2), network)
    assert sum(isinstance(module, torch.nn.SyncBatchNorm) for module in network.modules()) == normalising > 0
    after = network.state_dict()
    assert list(after) == list(before)
    assert all(after[name].data_ptr() == value.data_ptr() for name, value in before.items())
    assert torch.equal(network.eval()(images), expected)
