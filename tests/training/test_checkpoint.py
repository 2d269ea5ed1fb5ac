"""A checkpoint holds all that a training needs to go on, and is taken by that training alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mutations import BYTES
from torch import nn

from longtail.training.checkpoint import FILE, load_checkpoint, save_checkpoint


def training(optimiser: str) -> tuple[nn.Module, torch.optim.Optimizer]:
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    if optimiser == "adamw":
        return network, torch.optim.AdamW(network.parameters(), 0.01)
    return network, torch.optim.SGD(network.parameters(), 0.01, momentum=0.9)


def advance(network: nn.Module, optimiser: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        torch.manual_seed(step)
        optimiser.zero_grad()
        network(torch.randn(8, 3)).square().mean().backward()
        optimiser.step()


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_a_resumed_training_goes_on_exactly(tmp_path: Path, kind: str) -> None:
    network, optimiser = training(kind)
    advance(network, optimiser, range(5))
    save_checkpoint(tmp_path, "key", network, optimiser, 5, [{"iteration": 5.0, "loss": 0.1}])
    other, its_optimiser = training(kind)
    assert load_checkpoint(tmp_path, "key", other, its_optimiser) == (5, [{"iteration": 5.0, "loss": 0.1}])
    advance(network, optimiser, range(5, 9))
    advance(other, its_optimiser, range(5, 9))
    for name, value in network.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_a_checkpoint_of_another_training_is_left_alone(tmp_path: Path) -> None:
    network, optimiser = training("sgd")
    save_checkpoint(tmp_path, "key", network, optimiser, 5, [])
    other, its_optimiser = training("sgd")
    before = {name: value.clone() for name, value in other.state_dict().items()}
    assert load_checkpoint(tmp_path, "another", other, its_optimiser) == (0, [])
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())


def test_without_a_checkpoint_training_begins_at_0(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "nowhere", "key", *training("sgd")) == (0, [])


def test_a_new_checkpoint_replaces_the_old_in_one_file(tmp_path: Path) -> None:
    network, optimiser = training("sgd")
    for step in (1, 2):
        save_checkpoint(tmp_path, "key", network, optimiser, step, [])
    assert [file.name for file in tmp_path.iterdir()] == [FILE]
    assert load_checkpoint(tmp_path, "key", network, optimiser)[0] == 2


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_checkpoint_is_said_and_not_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], seed: int
) -> None:
    network, optimiser = training("adamw")
    advance(network, optimiser, range(3))
    save_checkpoint(tmp_path, "key", network, optimiser, 3, [{"iteration": 3.0, "loss": 0.1}])
    before = (tmp_path / FILE).read_bytes()
    mutation = BYTES[seed % len(BYTES)]
    mutation(tmp_path / FILE, np.random.default_rng(seed))
    other, its_optimiser = training("adamw")
    fresh = {name: value.clone() for name, value in other.state_dict().items()}
    step, _ = load_checkpoint(tmp_path, "key", other, its_optimiser)
    if (tmp_path / FILE).read_bytes() == before:  # zeros over zeros
        assert step == 3
        return
    assert step == 0
    assert all(torch.equal(value, fresh[name]) for name, value in other.state_dict().items())
    said = capsys.readouterr().err
    assert said.count("\n") <= 1
    # One whose fingerprint was hit is another training's.
    assert said == "" or "is damaged" in said
