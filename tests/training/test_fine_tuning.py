"""Fine-tuning: last blocks alone, learning rates by block, clipped gradients, averaged weights, compiled networks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from interruption import interrupted
from safetensors.torch import load_file
from tiny import hashes, run_stage
from torch import Tensor, nn

from longtail.errors import DataError
from longtail.network.imported import blocks
from longtail.network.network import Network, NetworkParams
from longtail.network.snapshot import current, read_blueprint
from longtail.network.trained import keep_still, layer_shares, set_modes

Fit = Callable[..., dict[str, Tensor]]
# One loss a step, no momentum and no decay: what moves is the gradient.
PLAIN = {"iterations": 6, "learning_rate": 0.02, "momentum": 0, "weight_decay": 0, "schedule": "constant"}
PLAIN |= {"log_every": 2, "checkpoint_every": 2}


@pytest.fixture
def fit(tmp_path: Path, prepared: Path) -> Fit:
    """The weights after a training of `fits` that follows `start`."""
    number = iter(range(100))

    def trained(**changes: Any) -> dict[str, Tensor]:
        model = tmp_path / str(next(number)) / "model"
        optimisation = PLAIN | changes.pop("optimisation", {})
        run_stage(prepared, "fit", paths={"model": str(model)}, optimisation=optimisation, **changes)
        return load_file(current(model) / "network.safetensors")

    return trained


def before(prepared: Path) -> dict[str, Tensor]:
    return load_file(current(prepared / "start/model") / "network.safetensors")


def of_blocks(prepared: Path) -> list[list[str]]:
    """The names of the backbone's weights and statistics, by block."""
    from longtail.network.embedder import build_network

    network = build_network(read_blueprint(current(prepared / "start/model")))
    return [[f"backbone.{name}" for name in block] for block in blocks(network.backbone)]


@pytest.mark.parametrize("trained", [0, 1, 2, 3])
def test_what_is_below_the_last_blocks_stays_with_its_statistics(fit: Fit, prepared: Path, trained: int) -> None:
    start, after, parts = before(prepared), fit(trained_blocks=trained), of_blocks(prepared)
    assert len(parts) == 3
    for depth, names in enumerate(parts):
        for name in names:
            assert torch.equal(start[name], after[name]) == (depth < 3 - trained), name
    assert not torch.equal(start["embeddings.0.weight"], after["embeddings.0.weight"])


def test_more_blocks_than_there_are_is_one_sentence(fit: Fit) -> None:
    with pytest.raises(DataError, match="the backbone has 3 blocks; set trained_blocks to at most that"):
        fit(trained_blocks=4)


class Dropped(nn.Module):
    """Two blocks, each with a dropout that has no weights to tell whether it is still."""

    def __init__(self) -> None:
        super().__init__()
        block = [nn.Linear(4, 4), nn.Dropout(0.5), nn.BatchNorm1d(4)]
        self.one, self.two = nn.Sequential(*block), nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5))


def test_what_is_still_draws_nothing_and_what_is_trained_does() -> None:
    network = Network(NetworkParams(embedding=4), [], (28, 28, 1))
    network.backbone = Dropped()
    keep_still(network, 1)
    set_modes(network, freeze_batch_norm=False)
    assert not any(module.training for module in network.backbone.one.modules())
    assert all(module.training for module in network.backbone.two.modules())


def test_each_block_moves_by_its_share_of_the_learning_rate(fit: Fit, prepared: Path) -> None:
    once = {"iterations": 1, "log_every": 1, "checkpoint_every": 1}
    start, whole, layered = before(prepared), fit(optimisation=once), fit(optimisation=once | {"layer_decay": 0.5})
    shares = {name: 0.5 ** (3 - depth) for depth, names in enumerate(of_blocks(prepared)) for name in names}
    for name, value in start.items():
        if name.endswith(("running_mean", "running_var", "num_batches_tracked")):
            continue
        step, expected = layered[name] - value, (whole[name] - value) * shares.get(name, 1.0)
        assert torch.allclose(step, expected, atol=1e-7), name


def test_the_shares_of_a_network_of_timm_fall_towards_the_image() -> None:
    network = Network(NetworkParams(backbone="timm/test_efficientnet", embedding=4), [], (64, 64, 3))
    shares = layer_shares(network.backbone, 0.7)
    assert set(shares) == set(network.backbone.parameters())
    first, last = next(network.backbone.parameters()), [*network.backbone.parameters()][-1]
    assert shares[last] == pytest.approx(0.7)
    assert shares[first] == pytest.approx(0.7 ** len(blocks(network.backbone)))


def test_a_clipped_gradient_is_as_long_as_it_may_be(fit: Fit, prepared: Path) -> None:
    once = {"iterations": 1, "log_every": 1, "checkpoint_every": 1}
    start, free, clipped = before(prepared), fit(optimisation=once), fit(optimisation=once | {"clip": 1e-3})

    def moved(after: dict[str, Tensor]) -> Tensor:
        names = [name for name in start if not name.endswith(("running_mean", "running_var", "num_batches_tracked"))]
        return torch.cat([(after[name] - start[name]).ravel().double() for name in names])

    assert float(moved(clipped).norm()) == pytest.approx(0.02 * 1e-3, rel=1e-3)
    cosine = torch.nn.functional.cosine_similarity(moved(free), moved(clipped), dim=0)
    assert float(cosine) == pytest.approx(1, abs=1e-3)


def test_the_average_is_that_of_the_weights_of_every_step(fit: Fit) -> None:
    decay, steps = 0.6, []
    for iterations in range(1, 7):
        steps.append(fit(optimisation={"iterations": iterations}))
    averaged = fit(optimisation={"average": decay})
    expected = steps[0]
    for after in steps[1:]:
        expected = {name: decay * value + (1 - decay) * after[name] for name, value in expected.items()}
    for name, value in expected.items():
        if not name.endswith("num_batches_tracked"):
            assert torch.allclose(averaged[name], value, atol=1e-6), name


def test_an_averaged_training_resumes_to_the_same_bytes(tmp_path: Path, prepared: Path) -> None:
    changes: dict[str, Any] = {"optimisation": {**PLAIN, "momentum": 0.9, "average": 0.9, "clip": 1.0}}
    with interrupted(after=4):
        run_stage(prepared, "fit", paths={"model": f"{tmp_path}/resumed/model"}, **changes)
    for name in ("resumed", "whole"):
        run_stage(prepared, "fit", paths={"model": f"{tmp_path}/{name}/model"}, **changes)
    assert hashes(tmp_path / "resumed/model") == hashes(tmp_path / "whole/model")


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
@pytest.mark.parametrize("more", [{}, {"average": 0.9, "early_stopping": 3}], ids=["last", "averaged-best"])
def test_a_training_of_a_network_of_timm_resumes_to_the_same_bytes(
    tmp_path: Path, prepared: Path, optimiser: str, more: dict[str, Any]
) -> None:
    """Its weights lie in memory with the channels last, and fused optimisers take their state to lie as they do."""
    network = {"backbone": "timm/test_efficientnet", "embedding": 8}
    changes: dict[str, Any] = {"network": network, "sampling": "natural", "cost": False}
    changes["optimisation"] = {**PLAIN, "optimiser": optimiser, "momentum": 0.9, **more}
    run_stage(prepared, "start", paths={"model": f"{tmp_path}/start"}, network=network)

    def fit(name: str) -> None:
        paths = {"previous": f"{tmp_path}/start", "model": f"{tmp_path}/{name}/model"}
        run_stage(prepared, "fit", paths=paths, **changes)

    with interrupted(after=4):
        fit("resumed")
    for name in ("resumed", "whole"):
        fit(name)
    assert hashes(tmp_path / "resumed/model") == hashes(tmp_path / "whole/model")


@pytest.mark.slow
def test_a_compiled_training_ends_where_the_other_does(fit: Fit) -> None:
    one, other = fit(), fit(optimisation={"compile": True})
    for name, value in one.items():
        assert torch.allclose(value.float(), other[name].float(), atol=1e-3), name
