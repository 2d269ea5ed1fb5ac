"""What a training begins with: the weights of another, all of them trained on or the backbone kept as it is."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from interruption import interrupted
from safetensors import safe_open
from safetensors.torch import load_file
from tiny import DIGIT, KIDS, SHAPE, hashes, run_stage

from longtail.artifacts.weights import write_weights
from longtail.data.dataset import DatasetInfo, Task
from longtail.errors import DataError
from longtail.methods.class_balanced import Params as ClassBalanced
from longtail.methods.softmax import Params
from longtail.network.decay import parameter_groups
from longtail.network.embedder import blueprint_for, build_network
from longtail.network.network import Network, NetworkParams
from longtail.network.snapshot import current, write_priors
from longtail.training.beginning import initial_network
from longtail.training.checkpoint import FILE

STILL = {"iterations": 1, "learning_rate": 1e-9, "weight_decay": 0, "freeze_batch_norm": True}
FROZEN = {"iterations": 12, "learning_rate": 0.05, "log_every": 4, "checkpoint_every": 4}
INFO = DatasetInfo(tasks=[DIGIT, KIDS], image_shape=SHAPE, count=0, shard_sizes=[], md5="", provenance="", licence="")
FILE_OF_NETWORK = "network.safetensors"
Weights = dict[str, torch.Tensor]
# A training of `fits` after another, of what `prepared` has; into a folder of that name.
Fit = Callable[..., Path]


@pytest.fixture
def fit(tmp_path: Path, prepared: Path) -> Fit:
    def trained(name: str, previous: str = "softmax", **changes: Any) -> Path:
        model = tmp_path / name / "model"
        run_stage(prepared, "fit", paths={"previous": f"{previous}/model", "model": str(model)}, **changes)
        return model

    return trained


def weights(model: Path) -> Weights:
    return load_file(model / "current" / FILE_OF_NETWORK)


def of_part(part: str, network: Weights) -> Weights:
    found = {name: value for name, value in network.items() if name.startswith(f"{part}.")}
    assert found
    return found


def same(one: Weights, two: Weights) -> bool:
    return all(torch.equal(value, two[name]) for name, value in one.items())


@pytest.mark.parametrize("previous", ["softmax", "start"])
def test_a_training_begins_with_the_weights_of_the_one_before(fit: Fit, prepared: Path, previous: str) -> None:
    before, after = weights(prepared / f"{previous}/model"), weights(fit("next", previous, optimisation=STILL))
    assert list(after) == list(before)
    for name, value in before.items():
        assert torch.allclose(after[name].float(), value.float(), atol=1e-6), name


def test_and_not_with_fresh_ones_of_its_own_seed(fit: Fit, prepared: Path) -> None:
    one, other = (weights(fit(f"seed-{seed}", optimisation=STILL, seed=seed)) for seed in (0, 7))
    for name, value in one.items():
        assert torch.allclose(value.float(), other[name].float(), atol=1e-6), name
    assert not same(of_part("backbone", weights(prepared / "start/model")), one)


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_a_frozen_backbone_stays_as_it_is_with_its_statistics_and_the_rest_is_trained(
    fit: Fit, prepared: Path, optimiser: str
) -> None:
    before = weights(prepared / "softmax/model")
    frozen = weights(fit("frozen", trained_blocks=0, optimisation=FROZEN | {"optimiser": optimiser}))
    backbone = of_part("backbone", before)
    assert any(name.endswith("running_mean") for name in backbone)
    assert any(name.endswith("running_var") for name in backbone)
    assert same(backbone, frozen)
    for part in ("embeddings", "classifiers"):
        assert all(not torch.equal(value, frozen[name]) for name, value in of_part(part, before).items())


def test_else_the_backbone_and_its_statistics_are_trained_too(fit: Fit, prepared: Path) -> None:
    before, after = weights(prepared / "softmax/model"), weights(fit("next", optimisation=FROZEN))
    assert all(not torch.equal(value, after[name]) for name, value in of_part("backbone", before).items())


def test_a_method_on_a_table_can_freeze_the_backbone_too(tmp_path: Path, prepared: Path) -> None:
    run_stage(prepared, "train", paths={"model": f"{tmp_path}/model"}, trained_blocks=0)
    before, after = weights(prepared / "softmax/model"), weights(tmp_path / "model")
    assert same(of_part("backbone", before), after)
    assert not same(of_part("embeddings", before), after)


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_a_training_with_a_frozen_backbone_resumes_exactly(fit: Fit, tmp_path: Path, optimiser: str) -> None:
    changes = {"trained_blocks": 0, "optimisation": FROZEN | {"optimiser": optimiser}}
    with interrupted():
        fit("resumed", **changes)
    with safe_open(tmp_path / "resumed/.model.work" / FILE, "pt") as stored:
        of_optimiser = {key.split(".")[1] for key in stored.keys() if key.startswith("optimiser.")}  # noqa: SIM118
    assert len(of_optimiser) == 8  # weight and bias of two embeddings and of two classifiers
    assert hashes(fit("resumed", **changes)) == hashes(fit("whole", **changes))


def snapshot(folder: Path, network: Network) -> Path:
    folder.mkdir()
    write_weights({name: value.contiguous() for name, value in network.state_dict().items()}, folder / FILE_OF_NETWORK)
    return folder


@pytest.mark.parametrize(("theirs", "ours"), [("resnet18", "small_cnn"), ("small_cnn", "resnet18")])
def test_a_model_of_another_backbone_is_refused_in_one_sentence(tmp_path: Path, theirs: Any, ours: Any) -> None:
    before, after = (
        blueprint_for(NetworkParams(backbone=backbone, embedding=8), "network", [DIGIT], INFO)
        for backbone in (theirs, ours)
    )
    made = snapshot(tmp_path / "snapshot", build_network(before))
    (made / "network.json").write_text(before.model_dump_json())
    with pytest.raises(DataError) as refusal:
        initial_network(made, after, Params())
    assert str(refusal.value) == (
        f"the weights in {made} are of another backbone than {ours}; give both the same `network`"
    )


def test_so_are_the_weights_of_a_resnet_for_another_though_some_have_the_same_names_and_shapes(tmp_path: Path) -> None:
    before, after = (
        blueprint_for(NetworkParams(backbone=backbone, embedding=8), "network", [DIGIT], INFO)
        for backbone in ("resnet18", "resnet50")
    )
    made = snapshot(tmp_path / "snapshot", build_network(before))
    (made / "network.json").write_text(before.model_dump_json())
    with pytest.raises(DataError, match="are of another backbone than resnet50"):
        initial_network(made, after, Params())


@pytest.mark.parametrize("prior", ["pixels", "hog"])
def test_after_features_that_no_network_made_all_weights_are_fresh(tmp_path: Path, prior: str) -> None:
    blueprint = blueprint_for(NetworkParams(embedding=8), "network", [DIGIT, KIDS], INFO)
    (tmp_path / prior).mkdir()
    torch.manual_seed(3)
    expected = build_network(blueprint).state_dict()
    torch.manual_seed(3)
    assert same(expected, initial_network(tmp_path / prior, blueprint, Params()).state_dict())


def test_what_the_model_before_has_in_another_shape_is_fresh(tmp_path: Path) -> None:
    before, after = (
        blueprint_for(NetworkParams(embedding=embedding), "network", [DIGIT, KIDS], INFO) for embedding in (8, 6)
    )
    torch.manual_seed(3)
    fresh = build_network(after).state_dict()
    made = snapshot(tmp_path / "snapshot", build_network(before))
    (made / "network.json").write_text(before.model_dump_json())
    torch.manual_seed(3)
    found = initial_network(made, after, Params()).state_dict()
    assert same(of_part("backbone", load_file(made / FILE_OF_NETWORK)), found)
    for part in ("embeddings", "classifiers"):
        weights_alone = {name: value for name, value in of_part(part, fresh).items() if name.endswith("weight")}
        assert same(weights_alone, found)


@pytest.mark.parametrize("loss", ["sigmoid", "focal"])
def test_a_classifier_begins_as_its_method_has_it_unless_one_was_trained_before(prepared: Path, loss: str) -> None:
    method = ClassBalanced(loss=loss)  # begins with the probability 1/3 of each class
    how = method.model_dump(mode="json")
    blueprint = blueprint_for(NetworkParams(embedding=8), "network", [DIGIT, KIDS], INFO, how)
    network = initial_network(current(prepared / "start/model"), blueprint, method)
    for layer in network.classifiers:
        assert layer.bias.tolist() == pytest.approx([-math.log(2)] * 3)
    _, without_decay = parameter_groups(network, 0.01)
    assert [id(p) for p in without_decay["params"]] == [id(layer.bias) for layer in network.classifiers]
    trained = load_file(current(prepared / "softmax/model") / FILE_OF_NETWORK)
    for place, layer in enumerate(initial_network(current(prepared / "softmax/model"), blueprint, method).classifiers):
        assert torch.equal(layer.bias, trained[f"classifiers.{place}.bias"])


def test_what_is_on_top_goes_by_the_name_of_its_task(tmp_path: Path) -> None:
    """A model of other tasks gives its backbone, and what it has of those that both have, whatever their order."""
    digit, kids, other = (Task(name=name, classes=["a", "b"]) for name in ("digit", "kids", "other"))
    before, after = (
        blueprint_for(NetworkParams(embedding=6), "network", tasks, INFO) for tasks in ([digit, kids], [kids, other])
    )
    torch.manual_seed(0)
    network = build_network(before)
    (tmp_path / "network.json").write_text(before.model_dump_json())
    write_weights(network.state_dict(), tmp_path / "network.safetensors")
    write_priors(tmp_path, {"digit": np.full(2, 0.5), "kids": np.full(2, 0.5)})  # its classifiers are trained
    torch.manual_seed(1)
    fresh = build_network(after)
    torch.manual_seed(1)
    taken = initial_network(tmp_path, after, Params())
    assert torch.equal(taken.classifiers[0].weight, network.classifiers[1].weight)
    assert torch.equal(taken.embeddings[0].weight, network.embeddings[1].weight)
    assert torch.equal(taken.classifiers[1].weight, fresh.classifiers[1].weight)
    assert torch.equal(taken.embeddings[1].weight, fresh.embeddings[1].weight)
