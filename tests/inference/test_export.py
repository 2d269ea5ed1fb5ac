"""The ONNX file answers golden images as the model does, for every rule; it is whole or absent."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from rule_evidence import evidence
from tiny import run_stage

from longtail.data.dataset import PackedDataset
from longtail.errors import DataError
from longtail.inference import export as exporting
from longtail.inference.answerer import Answerer
from longtail.inference.export import export
from longtail.inference.graph import Graph
from longtail.network.embedder import Embedder
from longtail.network.snapshot import State
from longtail.rules.cluster_wise import ClusterWise
from longtail.rules.registry import RULES

# Probabilities: float32 sums in another order, over a temperature that may be small.
ATOL = 1e-5


@pytest.fixture(scope="module")
def golden(trained: Path) -> npt.NDArray[np.uint8]:
    """Every image of the data set, and as many of noise."""
    packed = PackedDataset.open(trained / "dataset")
    images = packed.images(np.arange(len(packed)))
    return np.concatenate([images, np.random.default_rng(0).integers(0, 256, images.shape, dtype=np.uint8)])


def by_rule(trained: Path, key: str, folder: Path) -> Path:
    """The trained model's index, as if it were reported by the rule of that key."""
    folder.mkdir()
    for entry in (trained / "index/softmax").iterdir():
        if entry.name not in ("state.json", "digests.json"):
            (folder / entry.name).symlink_to(entry)
    State.read(trained / "index/softmax").model_copy(update={"rule": key}).write(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("key", [key for key in RULES if key != "head_thresholds"])
def test_golden_images_are_answered_as_by_the_model(
    trained: Path, tmp_path: Path, golden: npt.NDArray[np.uint8], key: str
) -> None:
    import onnxruntime

    index, file = by_rule(trained, key, tmp_path / "index"), tmp_path / "model.onnx"
    said = export(index, file)
    assert said.startswith(f"{file}: ")
    session = onnxruntime.InferenceSession(file)
    own = Answerer.load(index).answer(golden)["label"]
    for count in (0, 1, 7, len(golden)):
        codes, probabilities = session.run(["label.class", "label.probabilities"], {"images": golden[:count]})
        np.testing.assert_allclose(probabilities, own.probabilities[:count], atol=ATOL)
        np.testing.assert_array_equal(codes, own.codes[:count])
    about = {key: json.loads(value) for key, value in session.get_modelmeta().custom_metadata_map.items()}
    assert about["classes"] == {"label": ["circle", "cross", "stripes"]}
    assert about["rule"] == key
    assert about["preprocessing"]["fit"] == "stretch"
    assert about["image_shape"] == [24, 20, 3]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index", "model.onnx"]


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime", "onnxscript"])
def test_without_the_extra_it_is_one_sentence(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(
        DataError, match=f"export needs the package {missing}: install longtail with its extra `export`"
    ):
        export(trained / "index/softmax", tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("before", [None, b"an older model"])
def test_a_file_is_whole_or_as_it_was(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bytes | None
) -> None:
    file = tmp_path / "model.onnx"
    if before:
        file.write_bytes(before)

    def fail(answerer: Answerer, rule: str, new: Path) -> None:
        new.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exporting, "_write", fail)
    with pytest.raises(OSError, match="No space left"):
        export(trained / "index/softmax", file)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == ([before] if before else [])


def test_hand_crafted_features_are_refused(trained: Path) -> None:
    answerer = Answerer.load(trained / "index/softmax")
    about = answerer.embedder.blueprint.model_copy(update={"features": "hog"})
    with pytest.raises(DataError, match="there is no network to export: the model has hand-crafted features, hog"):
        Graph(replace(answerer, embedder=Embedder(about, None)))


def test_the_features_of_a_backbone_alone_are_answered_from(trained: Path, golden: npt.NDArray[np.uint8]) -> None:
    answerer = Answerer.load(trained / "index/softmax")
    about: Any = answerer.embedder.blueprint.model_copy(update={"features": "backbone"})
    embedder = Embedder(about, answerer.embedder.network)
    found = replace(evidence(), embeddings=embedder(golden)["label"], class_count=3, logits=None)
    labels = np.arange(len(golden)) % 3
    rule = ClusterWise.fit(replace(found, train=labels, validation=labels), {})
    of_backbone = replace(answerer.tasks["label"], rule=rule, clusters=rule)
    whole = Answerer(embedder, {"label": of_backbone})
    with torch.inference_mode():
        codes, probabilities = Graph(whole).eval()(torch.from_numpy(golden))
    own = whole.answer(golden)["label"]
    np.testing.assert_allclose(probabilities.numpy(), own.probabilities, atol=1e-4)
    assert (codes.numpy() == own.codes).mean() > 0.99, "but for two that are equally near"


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["head", "soft_voting"])
def test_a_head_of_anchor_points_answers_golden_images_as_the_model_does(
    prepared: Path, tmp_path: Path, rule: str
) -> None:
    import onnxruntime

    paths = {"model": str(tmp_path / "model"), "index": str(tmp_path / "index")}
    run_stage(prepared, "fit", paths={"model": paths["model"]}, method={"kind": "anchor_triplet"})
    run_stage(prepared, "index", paths=paths)
    state = State.read(tmp_path / "index")
    state.model_copy(update={"rule": rule}).write(tmp_path / "index")
    (tmp_path / "index/digests.json").unlink()  # made by hand
    export(tmp_path / "index", tmp_path / "model.onnx")
    images = PackedDataset.open(prepared / "dataset").images(np.arange(40))
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for task, own in Answerer.load(tmp_path / "index").answer(images).items():
        (probabilities,) = session.run([f"{task}.probabilities"], {"images": images})
        np.testing.assert_allclose(probabilities, own.probabilities, atol=ATOL)
