"""Trainings and tests at other sizes than the packed one, and answers that are means over views."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import TRAINED, evaluate_models, hashes, run_stage

from longtail.data.dataset import PackedDataset
from longtail.data.splits import Split
from longtail.data.transforms import to_float
from longtail.errors import DataError
from longtail.inference.answerer import Answerer
from longtail.inference.export import export
from longtail.network.embedder import load_embedder
from longtail.network.inference import Inference
from longtail.network.snapshot import current, read_embeddings, read_logits

EVERYTHING = {"side": 16, "mirror": True, "crops": True}


@pytest.fixture
def root(tmp_path: Path, one_task: Path) -> Path:
    """The data set, the split and what trainings begin with."""
    for name in ("dataset", "split", "start"):
        (tmp_path / name).symlink_to(one_task / name)
    return tmp_path


def fit(root: Path, *, side: int | None = None, name: str = "softmax", **changes: Any) -> Path:
    optimisation = {**TRAINED["optimisation"], "augmentation": {"side": side}}
    run_stage(root, "fit", name=name, paths={"model": f"{name}/model"}, optimisation=optimisation, **changes)
    return root / name / "model"


def test_what_a_training_leaves_are_the_means_over_the_views(root: Path) -> None:
    model = fit(root, side=16, inference=EVERYTHING)
    rows = Split.open(root / "split").samples["row"].to_numpy()
    images = to_float(torch.from_numpy(PackedDataset.open(root / "dataset").images(rows)))
    network = load_embedder(current(model)).network
    assert network is not None
    embeddings, logits = [], []
    with torch.inference_mode():
        for view in Inference(**EVERYTHING).of(images):
            raw = network(view)["digit"]
            embeddings.append(raw / raw.norm(dim=1, keepdim=True).clamp(min=1e-12))
            logits.append(network.classifiers[0](raw))
    mean = sum(embeddings) / 12
    found = read_embeddings(current(model), "digit")
    assert np.allclose(found, mean / mean.norm(dim=1, keepdim=True), atol=1e-5)
    assert np.allclose(read_logits(current(model), "digit"), sum(logits) / 12, atol=1e-4)


@pytest.mark.slow
def test_a_model_answers_files_and_exports_as_it_was_measured(root: Path) -> None:
    fit(root, side=16, inference=EVERYTHING)
    evaluate_models(root, "softmax")
    split = Split.open(root / "split")
    images = PackedDataset.open(root / "dataset").images(split.samples["row"].to_numpy())
    _, logits = Answerer.load(root / "index/softmax").embedder.all_embedded_and_classified(images)
    assert np.allclose(logits["digit"], read_logits(root / "index/softmax/snapshot", "digit"), atol=1e-5)
    page = (root / "report/report.html").read_text(encoding="utf-8")
    assert "softmax: trained on images of 16 pixels; tested on images of 16; its logits and embeddings are" in page
    assert "means over 12 views, the corners and the centre and the mirror images among them" in page
    assert "are those of the model within" in export(root / "index/softmax", root / "model.onnx")


@pytest.mark.parametrize(("side", "inference"), [(16, {}), (None, {"side": 20}), (16, {"side": 40})])
def test_a_network_that_averages_over_positions_is_tested_at_another_size(
    root: Path, side: int | None, inference: dict[str, int]
) -> None:
    network = {"backbone": "resnet32", "embedding": 8}
    run_stage(root, "start", paths={"model": "small/model"}, network=network)
    run_stage(
        root,
        "fit",
        paths={"previous": "small/model", "model": "tested/model"},
        network=network,
        inference=inference,
        optimisation={**TRAINED["optimisation"], "iterations": 2, "augmentation": {"side": side}},
    )
    found = read_embeddings(current(root / "tested/model"), "digit")
    assert found.shape == (len(Split.open(root / "split").samples), 8)


@pytest.mark.parametrize(("side", "inference"), [(16, {}), (None, {"side": 16}), (16, {"side": 24})])
def test_a_network_of_one_size_is_refused_another(root: Path, side: int | None, inference: dict[str, int]) -> None:
    with pytest.raises(DataError, match="takes images of one size"):
        fit(root, side=side, inference=inference)
    assert not (root / "softmax/model").exists()


def test_stored_features_have_no_views(root: Path) -> None:
    run_stage(root, "features")
    with pytest.raises(DataError, match="trained on stored features, which are of the images as they are"):
        run_stage(root, "fit", paths={"dataset": "features"}, inference={"mirror": True})
    fit(root, side=16, inference={"side": 16})
    with pytest.raises(DataError, match="features are of the images as they are"):
        run_stage(root, "features", paths={"model": "softmax/model", "features": "more"})


def test_by_default_nothing_is_written_of_it(root: Path) -> None:
    fit(root, name="plain")
    fit(root, name="said", inference={"side": None, "mirror": False, "crops": False})
    for name in ("network.json", "network.safetensors", "embeddings-digit.npy", "logits-digit.npy"):
        assert hashes(root / "plain/model/current")[name] == hashes(root / "said/model/current")[name]
    for file in ("lineage.json", "current/network.json"):
        text = (root / "plain/model" / file).read_text()
        assert "inference" not in text
        assert 'side": null' not in text
