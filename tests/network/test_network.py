"""The network: shapes, the unit sphere, one head a task, and grey images in a ResNet."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from longtail.data.dataset import Task
from longtail.errors import DataError
from longtail.methods.catalogue import params_class
from longtail.network.backbones import build_backbone
from longtail.network.embedder import Embedder, build_network
from longtail.network.network import Network, NetworkParams
from longtail.network.snapshot import Blueprint, Features
from longtail.network.trained import keep_still, renew, set_modes

TASKS = [Task(name="digit", classes=["a", "b", "c"]), Task(name="kids", classes=["no", "yes"])]


def network(backbone: str = "small_cnn", shape: tuple[int, int, int] = (28, 28, 1)) -> Network:
    torch.manual_seed(0)
    return Network(NetworkParams(backbone=backbone, embedding=8), TASKS, shape).eval()


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (40, 20, 3), (8, 8, 1)])
@pytest.mark.parametrize("backbone", ["small_cnn", "resnet32", "resnet18"])
def test_every_task_has_its_embedding_and_its_scores(backbone: str, shape: tuple[int, int, int]) -> None:
    height, width, channels = shape
    made, images = network(backbone, shape), torch.rand(4, channels, height, width) * 2 - 1
    embeddings, logits = made.embed(images), made.logits(images)
    assert {name: tuple(value.shape) for name, value in embeddings.items()} == {"digit": (4, 8), "kids": (4, 8)}
    assert {name: tuple(value.shape) for name, value in logits.items()} == {"digit": (4, 3), "kids": (4, 2)}
    for value in embeddings.values():
        assert value.norm(dim=1).tolist() == pytest.approx([1] * 4, abs=1e-5)


@pytest.mark.parametrize("shared", [True, False])
def test_under_autocast_too_embeddings_have_length_1_and_tasks_over_one_share_it(shared: bool) -> None:
    torch.manual_seed(0)
    made = Network(NetworkParams(embedding=8, shared_embedding=shared), TASKS, (28, 28, 1)).eval()
    images = torch.rand(50, 1, 28, 28) * 2 - 1
    with torch.autocast("cpu", torch.bfloat16):
        for embeddings in (made.embed(images), made.embed_and_classify(images)[0]):
            for value in embeddings.values():
                assert value.dtype == torch.float32
                assert torch.allclose(value.norm(dim=1), torch.ones(50), atol=1e-6)
            assert (embeddings["digit"] is embeddings["kids"]) == shared


@pytest.mark.parametrize("relu", [True, False])
def test_the_embedding_comes_behind_the_relu_or_before_it(relu: bool) -> None:
    torch.manual_seed(0)
    made = Network(NetworkParams(embedding=8, relu=relu), TASKS, (28, 28, 1)).eval()
    images = torch.rand(20, 1, 28, 28) * 2 - 1
    raw = made(images)["digit"].detach()
    before = made.embeddings[0](made.backbone(images)).detach()
    assert torch.equal(raw, before.relu() if relu else before)
    assert bool((before < 0).any())


def test_without_an_embedding_there_is_no_relu_to_leave_out() -> None:
    assert NetworkParams(embedding=None).relu
    with pytest.raises(ValidationError, match=r"leave `network\.relu` out"):
        NetworkParams(embedding=None, relu=False)


def test_renewed_is_all_but_what_is_kept_still() -> None:
    one, fresh = network(), network()
    with torch.no_grad():
        for tensor in fresh.state_dict().values():
            tensor.add_(1)
    before, after = one.state_dict(), fresh.state_dict()
    before = {name: value.clone() for name, value in before.items()}
    keep_still(one, 1)
    renew(one, fresh)
    still = {"backbone.0.0.weight", *(f"backbone.{n}.{p}" for n in (0, 1) for p in ("0.weight", "2.weight", "2.bias"))}
    for name, value in one.state_dict().items():
        module = name.rpartition(".")[0]
        kept = name in still or any(module == one_still.rpartition(".")[0] for one_still in still)
        assert torch.equal(value, before[name] if kept else after[name]), name


def test_the_resnet_of_cifar_has_the_published_number_of_weights() -> None:
    """0.46 million, with the 650 of a classifier for ten classes (He et al., Table 6)."""
    backbone, features = build_backbone("resnet32", (32, 32, 3))
    assert sum(parameter.numel() for parameter in backbone.parameters()) + 10 * features + 10 == 464_154
    assert sum(isinstance(module, torch.nn.Conv2d) for module in backbone.modules()) == 31


def test_its_shortcuts_have_no_weights_and_halve_the_map() -> None:
    backbone, _ = build_backbone("resnet32", (32, 32, 3))
    block = backbone[8]  # type: ignore[index]  # the first of 32 channels
    for norm in (block.first_norm, block.second_norm):
        torch.nn.init.zeros_(norm.weight)
    maps = torch.rand(2, 16, 8, 6)
    expected = torch.zeros(2, 32, 4, 3)
    expected[:, 8:24] = maps[:, :, ::2, ::2]
    assert torch.equal(block.eval()(maps), expected)


@pytest.mark.parametrize("shape", [(16, 16, 1), (45, 45, 3), (33, 60, 3)])
def test_deep_contour_has_an_embedding_of_every_shape(shape: tuple[int, int, int]) -> None:
    height, width, channels = shape
    made = network("deep_contour", shape)
    assert made.embed(torch.rand(2, channels, height, width))["digit"].shape == (2, 8)


def test_deep_contour_has_the_sizes_that_its_authors_published() -> None:
    backbone, features = build_backbone("deep_contour", (45, 45, 3))
    assert isinstance(backbone, torch.nn.Sequential)
    sizes, maps = [], torch.rand(1, 3, 45, 45)
    for layer in backbone:
        maps = layer(maps)
        if isinstance(layer, torch.nn.MaxPool2d):
            sizes.append(tuple(maps.shape[1:]))
    assert sizes == [(32, 22, 22), (48, 11, 11), (64, 5, 5), (128, 2, 2)]
    assert features == 128 == maps.shape[1]
    assert sum(parameter.numel() for parameter in backbone.parameters()) == 388_336


def test_a_resnet_repeats_a_grey_image_over_its_three_channels() -> None:
    backbone, features = build_backbone("resnet18", (28, 28, 1))
    backbone.eval()
    grey = torch.rand(2, 1, 28, 28)
    assert features == 512
    assert torch.equal(backbone(grey), backbone(grey.repeat(1, 3, 1, 1)))


def test_a_resnet_sees_imagenets_mean_colour_as_zero() -> None:
    backbone, _ = build_backbone("resnet18", (28, 28, 3))
    seen: list[torch.Tensor] = []
    backbone.body.conv1.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))  # type: ignore[union-attr]
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1).expand(2, 3, 28, 28)
    backbone(mean * 2 - 1)
    assert seen[0].abs().max() < 1e-6
    backbone((mean + torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)) * 2 - 1)
    assert torch.allclose(seen[1], torch.ones(()), atol=1e-5)


def test_images_too_small_for_the_small_network_are_refused() -> None:
    with pytest.raises(DataError, match="small_cnn needs images of 8×8 or more, not 7×28"):
        network(shape=(7, 28, 1))


def embedder(features: Features) -> Embedder:
    blueprint = Blueprint(features=features, backbone="small_cnn", embedding=8, tasks=TASKS, image_shape=(28, 28, 1))
    torch.manual_seed(0)
    return Embedder(blueprint, build_network(blueprint) if features in ("network", "backbone") else None)


@pytest.mark.parametrize("features", ["network", "backbone", "pixels", "hog"])
def test_an_image_has_the_same_embedding_in_any_batch(features: Features) -> None:
    images = np.random.default_rng(0).integers(0, 256, (600, 28, 28, 1), dtype=np.uint8)  # more than one block
    images[300:] = images[:300]
    of_all = embedder(features)(images)
    assert np.allclose(of_all["digit"][300:], of_all["digit"][:300], atol=1e-5)
    assert np.allclose(of_all["kids"][:3], embedder(features)(images[:3])["kids"], atol=1e-5)
    assert np.linalg.norm(of_all["kids"], axis=1) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("features", ["network", "backbone", "pixels", "hog"])
def test_images_may_be_none_and_may_lie_in_memory_in_any_order(features: Features) -> None:
    embed = embedder(features)
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28, 1), dtype=np.uint8)
    expected = embed(images)
    for lying in (np.flip(np.flip(images, 2).copy(), 2), np.asfortranarray(images), images[::-1].copy()[::-1]):
        for task, values in embed(lying).items():
            assert np.array_equal(values, expected[task])
    for task, values in embed(images[:0]).items():
        assert values.shape == (0, expected[task].shape[1])


def test_the_networks_of_the_silk_classifiers() -> None:
    """One task: ReLU, dropout, 1024, 32, whose ReLU the classifier sees. Many: one layer for all, and one each."""
    params = NetworkParams(embedding=32, hidden=[1024], relu="classifier", dropout=0.3, initialisation="he")
    made = Network(params, TASKS[:1], (28, 28, 1)).eval()
    images = torch.randn(4, 1, 28, 28)
    features = made.backbone(images)
    _, _, first, _, second = made.embeddings[0]
    embedding = second(first(features.relu()).relu())
    raw, seen = made(images)[TASKS[0].name], made.features_and_logits(images)[0][TASKS[0].name]
    assert torch.equal(raw, embedding)
    assert (raw < 0).any()
    assert torch.equal(seen, embedding.relu())
    assert torch.equal(made.logits(images)[TASKS[0].name], made.classifiers[0](seen))
    assert first.weight.std().item() == pytest.approx((2 / first.in_features) ** 0.5, rel=0.02)

    many = NetworkParams(embedding=64, shared_embedding=True, relu="classifier", task_layers=[16])
    silknet = Network(many, TASKS, (28, 28, 1)).eval()
    joint = silknet.embeddings[0](silknet.backbone(images))
    for place, task in enumerate(TASKS):
        branch = silknet.branches[place][0](joint.relu()).relu()
        assert torch.equal(silknet.embed(images)[task.name], torch.nn.functional.normalize(joint, dim=1))
        assert torch.equal(silknet.logits(images)[task.name], silknet.classifiers[place](branch))


def test_dropout_is_of_the_features_and_in_training_alone() -> None:
    made = Network(NetworkParams(embedding=8, dropout=0.5), TASKS, (28, 28, 1))
    features = torch.ones(1000, made.features)
    made.eval()
    assert torch.equal(made(features)[TASKS[0].name], made(features)[TASKS[0].name])
    set_modes(made, freeze_batch_norm=False)
    dropped = made.embeddings[0][:2](features)
    assert 0.45 < (dropped == 0).float().mean() < 0.55
    made.embeddings.requires_grad_(requires_grad=False)
    set_modes(made, freeze_batch_norm=False)
    assert torch.equal(made.embeddings[0][:2](features), features)


@pytest.mark.parametrize("wrong", [{"hidden": [8]}, {"dropout": 0.1}])
def test_without_an_embedding_nothing_leads_to_it(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"give `embedding` a length"):
        NetworkParams.model_validate({"embedding": None} | wrong)


def test_he_keeps_the_biases_that_a_method_begins_with() -> None:
    """A one-against-all loss begins with −log(C − 1)."""
    method = params_class("class_balanced")(loss="sigmoid")
    made = Network(NetworkParams(embedding=8, initialisation="he"), TASKS, (28, 28, 1), head=method.head)
    assert made.classifiers[0].bias.tolist() == pytest.approx([-math.log(2)] * 3)


@pytest.mark.parametrize("backbone", ["small_cnn", "resnet32", "resnet18", "timm/tf_efficientnet_lite0"])
def test_the_positions_of_a_map_are_what_the_backbone_itself_pools(backbone: str) -> None:
    made = []
    for maps in (False, True):
        torch.manual_seed(0)
        made.append(build_backbone(backbone, (64, 32, 3), maps=maps))
    (pooling, length), (mapping, channels) = made
    mapping.load_state_dict(pooling.state_dict())
    images = torch.rand(2, 3, 64, 32) * 2 - 1
    pooled, vectors = pooling.eval()(images), mapping.eval()(images)
    assert vectors.shape[::2] == (2, channels)
    whole = vectors.transpose(1, 2).flatten(1) if backbone == "small_cnn" else vectors.mean(1)
    assert pooled.shape == (2, length)
    torch.testing.assert_close(whole, pooled, atol=1e-5, rtol=1e-4)
    assert mapping(images[:0]).shape == (0, *vectors.shape[1:])


@pytest.mark.parametrize("backbone", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_tokens_and_channels_that_come_last_are_no_maps(backbone: str) -> None:
    with pytest.raises(DataError, match=rf"timm/{backbone} ends in no map .* leave out `network\.pooling`"):
        build_backbone(f"timm/{backbone}", (224, 224, 3), maps=True)
