"""τ-normalisation: of saved logits it makes what a classifier with its weights divided, and its biases kept, says."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from tiny import write_tiny_dataset
from torch import Tensor, nn

from longtail.data.dataset import PackedDataset, Task
from longtail.errors import DataError
from longtail.methods.catalogue import CATALOGUE, params_class
from longtail.network.embedder import Embedder, blueprint_for, build_network, load_embedder, write_snapshot
from longtail.network.network import NetworkParams
from longtail.rules.base import Evidence, Floats, Ints, Linear
from longtail.rules.evidence import read_linear
from longtail.rules.head_tau_normalised import POWERS, HeadTauNormalised, normalisation, normalised
from longtail.rules.registry import RULES, fit_rules
from longtail.rules.search import Search, mean_class_accuracy

VALUES = st.floats(-100, 100, width=32)


def linear_of(layer: nn.Linear) -> Linear:
    weight, bias = (values.detach().numpy() for values in (layer.weight, layer.bias))
    return Linear(np.linalg.norm(weight, axis=1), bias)


def evidence(logits: Floats, labels: Ints, linear: Linear | None) -> Evidence:
    """All samples are validation."""
    nothing = np.full(len(labels), -1)
    return Evidence(logits, logits, nothing, labels, logits.shape[1], 10, Search(), 0, linear=linear)


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Ints, nn.Linear]:
    """A long tail of scikit-learn's digits, 0 the most, and a linear classifier trained on it; even digits to test."""
    pixels, labels = load_digits(return_X_y=True)
    features = torch.from_numpy((pixels / 16).astype(np.float32))
    half = np.arange(len(labels)) % 2 == 0
    place = np.array([(labels[:row][half[:row]] == label).sum() for row, label in enumerate(labels)])
    train = half & (place < 80 * 0.6**labels + 2)
    torch.manual_seed(0)
    layer = nn.Linear(64, 10)
    optimiser = torch.optim.SGD(layer.parameters(), lr=0.5, weight_decay=1e-3)
    for _ in range(300):
        optimiser.zero_grad()
        nn.functional.cross_entropy(layer(features[train]), torch.from_numpy(labels[train])).backward()
        optimiser.step()
    return features[~half], labels[~half], layer


@pytest.mark.parametrize("power", POWERS)
def test_saved_logits_become_those_of_a_classifier_whose_weights_are_divided(
    digits: tuple[Tensor, Ints, nn.Linear], power: float
) -> None:
    features, _, layer = digits
    rewritten = nn.Linear(64, 10)
    with torch.no_grad():
        for row, weights in enumerate(layer.weight):
            rewritten.weight[row] = weights / weights.pow(2).sum().sqrt() ** power
        rewritten.bias.copy_(layer.bias)
        expected, logits = rewritten(features).numpy(), layer(features).numpy()
    assert layer.bias.abs().max() > 0.1, "there is a bias to be dropped"
    assert np.allclose(normalised(logits, *normalisation(linear_of(layer), power)), expected, atol=1e-5)


def test_it_serves_the_long_tail(digits: tuple[Tensor, Ints, nn.Linear]) -> None:
    features, labels, layer = digits
    with torch.no_grad():
        logits = layer(features).numpy()
    rule = HeadTauNormalised.fit(evidence(logits, labels, linear_of(layer)), {})
    assert rule.score > mean_class_accuracy(labels, logits.argmax(1)) + 0.01
    assert rule.power > 0
    assert [point["power"] for point in rule.curve] == list(POWERS)
    assert rule.score == max(point["score"] for point in rule.curve)
    assert rule.score == next(point["score"] for point in rule.curve if point["power"] == rule.power)


@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.floats(1e-3, 1e3))
def test_no_power_changes_no_bit_of_the_logits(seed: int, classes: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    logits = (spread * rng.normal(size=(20, classes))).astype(np.float32)
    linear = Linear(rng.gamma(0.3, size=classes).astype(np.float32), rng.normal(0, 1e6, classes).astype(np.float32))
    assert np.array_equal(normalised(logits, *normalisation(linear, 0.0)), logits)


def test_the_powers_are_tenths_and_the_least_that_is_best_stays() -> None:
    assert POWERS == (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)
    labels = np.arange(30) % 3
    clear = (10 * np.eye(3)[labels]).astype(np.float32)
    rule = HeadTauNormalised.fit(evidence(clear, labels, Linear(np.array([3, 2, 1.0]), np.zeros(3))), {})
    assert rule.power == 0
    assert len({point["score"] for point in rule.curve}) == 1, "all are as good"


@given(st.integers(0, 10), st.lists(VALUES, min_size=3, max_size=3), st.sampled_from([0, 1e-30, 1e-9]))
def test_a_class_without_weights_has_its_bias_for_a_logit(tenths: int, biases: list[float], length: float) -> None:
    """What float32 logits hold of weights that short is rounding, and would be divided by next to nothing."""
    linear = Linear(np.array([2, length, 1], np.float32), np.array(biases, np.float32))
    logits = np.array([[1, biases[1], -1], [-2, np.nextafter(np.float32(biases[1]), np.inf), 3]], np.float32)
    changed = normalised(logits, *normalisation(linear, tenths / 10))
    assert np.isfinite(changed).all()
    assert np.array_equal(changed[:, 1], logits[:, 1])
    assert np.array_equal(changed[:, 2], logits[:, 2]), "weights of length 1 are divided by 1"


def test_a_classifier_without_any_weights_is_left_as_it_is() -> None:
    linear = Linear(np.zeros(3, np.float32), np.array([1, 2, 3], np.float32))
    logits = np.tile(linear.biases, (4, 1))
    assert np.array_equal(normalised(logits, *normalisation(linear, 1.0)), logits)


def test_the_power_is_chosen_for_the_target() -> None:
    """Class 1 has short weights: dividing raises it, which is right for even classes and wrong where it is rare."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 500)
    score = rng.normal(size=1000) + labels
    logits = np.stack([np.full(1000, 1.0), 0.5 * score], 1).astype(np.float32)
    found = evidence(logits, labels, Linear(np.array([1, 0.3]), np.array([1, 0.0])))
    even = HeadTauNormalised.fit(found, {})
    rare = HeadTauNormalised.fit(replace(found, target=np.array([0.95, 0.05], np.float32)), {})
    assert even.power > rare.power


def network_of(kind: str, folder: Path) -> list[Task]:
    """Write the snapshot of a fresh network of a method, whose tasks have the names and classes of a data set."""
    write_tiny_dataset(folder / "dataset", per_class=2, two_tasks=True)
    packed = PackedDataset.open(folder / "dataset")
    method = params_class(kind).model_validate({"kind": kind}).model_dump(mode="json")
    blueprint = blueprint_for(NetworkParams(embedding=4), "network", packed.info.tasks, packed.info, method)
    embedder = Embedder(blueprint, build_network(blueprint))
    write_snapshot(folder / "snapshot", embedder, packed.images, 6, logits=True)
    return packed.info.tasks


@pytest.mark.parametrize("kind", CATALOGUE)
def test_norms_and_biases_are_those_of_each_tasks_classifier_where_it_is_linear(tmp_path: Path, kind: str) -> None:
    tasks = network_of(kind, tmp_path)
    network = load_embedder(tmp_path / "snapshot").network
    assert network is not None
    for layer, task in zip(network.classifiers, tasks, strict=True):
        found = read_linear(tmp_path / "snapshot", task.name)
        assert (found is None) == (not isinstance(layer, nn.Linear))
        if found is not None:
            assert isinstance(layer, nn.Linear)
            expected = linear_of(layer)
            assert np.array_equal(found.norms, expected.norms)
            assert np.array_equal(found.biases, expected.biases)


def test_some_methods_have_no_linear_classifier() -> None:
    linear = {kind: isinstance(params_class(kind)(kind=kind).head(4, 3), nn.Linear) for kind in CATALOGUE}
    assert linear["softmax"]
    assert not linear["ldam"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("network.json", None, "network.json"),
        ("network.safetensors", b"", "cannot read .*network.safetensors: .*; train the model again"),
        ("network.safetensors", None, "cannot read .*network.safetensors: .*; train the model again"),
    ],
)
def test_a_network_that_cannot_be_read_is_one_sentence(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    network_of("softmax", tmp_path)
    file = tmp_path / "snapshot" / name
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DataError, match=message) as refusal:
        read_linear(tmp_path / "snapshot", "digit")
    assert "\n" not in str(refusal.value)


def test_a_task_that_the_network_does_not_have_is_one_sentence(tmp_path: Path) -> None:
    network_of("softmax", tmp_path)
    with pytest.raises(DataError, match=r"network.json has no task 'colour'; train the model again$"):
        read_linear(tmp_path / "snapshot", "colour")


def test_without_a_linear_classifier_it_is_left_out_and_refused_where_it_is_asked_for() -> None:
    labels = np.arange(30) % 3
    found = evidence((10 * np.eye(3)[labels]).astype(np.float32), labels, None)
    assert "head_tau_normalised" not in fit_rules(["head", "head_tau_normalised"], found)
    assert "head_tau_normalised" in RULES
    sentence = "^the rule head_tau_normalised cannot be fitted: the classifier is no linear layer with biases, whose"
    with pytest.raises(DataError, match=sentence):
        HeadTauNormalised.fit(found, {})
