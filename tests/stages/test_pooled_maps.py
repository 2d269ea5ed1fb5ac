"""Poolings of maps in the pipeline: stored maps, γ, second stages, the file for ONNX, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from tiny import PARAMETERS, round_paths, run_stage

from longtail.audit.told import look
from longtail.data.feature_set import FeatureSet
from longtail.data.splits import Split
from longtail.errors import DataError
from longtail.granularity.points import open_images
from longtail.inference.export import export
from longtail.network import embedder as embedding
from longtail.network.embedder import load_embedder
from longtail.network.network import NetworkParams
from longtail.network.snapshot import current, read_embeddings, read_logits
from longtail.stages.fit import Params as FitParams
from longtail.transfer.domain import read_domain

ON = {"dataset": "features"}
PLAIN = {"iterations": 12, "learning_rate": 0.02, "log_every": 4, "checkpoint_every": 4}
SHIFTED = {"views": 2, "augmentation": {"shift": 0.2}}
POOLINGS: dict[str, dict[str, Any]] = {
    "bilinear": {"kind": "bilinear"},
    "compact_bilinear": {"kind": "compact_bilinear", "dimension": 64},
    "fixed": {"kind": "kernel", "dimension": 64, "order": 3, "coefficients": "fixed"},
    "learned": {"kind": "kernel", "dimension": 64},
}
every_pooling = pytest.mark.parametrize("name", POOLINGS)


def network(name: str, **changes: Any) -> dict[str, Any]:
    return {"embedding": 8, "pooling": {**POOLINGS[name], **changes}}


@pytest.fixture
def root(tmp_path: Path, two_tasks: Path) -> Path:
    """The data set and the split; nothing to begin with yet."""
    for name in ("dataset", "split"):
        (tmp_path / name).symlink_to(two_tasks / name)
    return tmp_path


def weights(root: Path, model: str) -> dict[str, torch.Tensor]:
    return load_file(current(root / model / "model") / "network.safetensors")


@every_pooling
def test_a_training_on_stored_maps_is_one_on_the_images_whose_backbone_stays(root: Path, name: str) -> None:
    run_stage(root, "start", network=network(name))
    report = run_stage(root, "features", precision="float32")
    samples = len(Split.open(root / "split").samples)
    assert report == {"length": 128, "samples": samples}
    assert np.load(root / "features/features.npy", mmap_mode="r").shape == (samples, 9, 128)
    run_stage(root, "fit", paths={**ON, "model": "stored/model"}, optimisation=PLAIN, network=network(name))
    run_stage(root, "fit", paths={"model": "still/model"}, optimisation=PLAIN, trained_blocks=0, network=network(name))
    stored, still, start = (weights(root, model) for model in ("stored", "still", "start"))
    for key, value in still.items():
        assert torch.allclose(stored[key].float(), value.float(), atol=1e-3), key
        if key.startswith(("backbone.", "pooling.sketch.", "pooling.gamma")):
            assert torch.equal(stored[key], start[key]), key
    if name in ("fixed", "learned"):
        moved = not torch.equal(stored["pooling.coefficients"], start["pooling.coefficients"])
        assert moved == (name == "learned")
    # The model that it leaves takes images.
    taught, images = load_embedder(current(root / "stored/model")), load_images(root)
    for task, logits in taught.logits(images).items():
        kept = read_logits(current(root / "stored/model"), task)
        assert kept is not None
        assert np.allclose(kept, logits, atol=1e-3)


def load_images(root: Path) -> np.ndarray[Any, Any]:
    from longtail.data.dataset import PackedDataset

    return PackedDataset.open(root / "dataset").images(Split.open(root / "split").samples["row"].to_numpy())


@every_pooling
def test_whole_networks_learn_views_and_rounds_too(root: Path, name: str) -> None:
    run_stage(root, "start", network=network(name))
    whole = {"network": network(name), "optimisation": {**PLAIN, "precision": "bfloat16", "average": 0.9}}
    assert run_stage(root, "fit", **whole)["validation_score"] > 0
    before, after = weights(root, "start"), weights(root, "softmax")
    assert not torch.equal(after["backbone.0.0.weight"], before["backbone.0.0.weight"])
    assert all(torch.equal(after[key], before[key]) for key in before if key.startswith("pooling.sketch."))
    run_stage(root, "features", paths={"model": "softmax/model"}, **SHIFTED)
    for stage, paths in round_paths(1).items():
        changes = {"optimisation": PLAIN, "network": network(name)} if stage == "train" else {}
        run_stage(root, stage, paths=paths | (ON if stage == "train" else {}), **changes)


def test_gamma_is_one_over_the_mean_inner_product_of_the_training_features_and_stays(root: Path) -> None:
    run_stage(root, "start", network=network("learned"))
    run_stage(root, "features", precision="float32")
    split = Split.open(root / "split")
    vectors = FeatureSet.open(root / "features", split).plain(split.positions("train")).reshape(-1, 128)
    exact = 1 / float((vectors @ vectors.T).mean())
    # Measured where the training is on maps that are stored, for `start` has another pooling, and so none.
    assert run_stage(root, "start", paths={"model": "other/model"}, network=network("bilinear"))
    fit = {"optimisation": PLAIN, "network": network("learned")}
    run_stage(root, "fit", paths={**ON, "previous": "other/model"}, **fit)
    assert float(weights(root, "softmax")["pooling.gamma"]) == pytest.approx(exact, rel=1e-4)
    # Then it goes with the weights, though the features of what follows are others.
    run_stage(root, "fit", paths={"previous": "softmax/model", "model": "again/model"}, **fit)
    assert torch.equal(weights(root, "again")["pooling.gamma"], weights(root, "softmax")["pooling.gamma"])
    given = network("learned", gamma=0.125)
    run_stage(root, "fit", paths={"model": "given/model"}, optimisation=PLAIN, network=given)
    assert float(weights(root, "given")["pooling.gamma"]) == 0.125


def test_a_fresh_network_measures_gamma_as_it_will_be_trained(root: Path) -> None:
    """By the statistics of the mini-batches: those of a fresh batch normalisation are none."""
    run_stage(root, "start", network=network("learned"))
    found = weights(root, "start")
    assert 0.001 < float(found["pooling.gamma"]) < 10
    assert float(found["backbone.0.2.running_var"].sub(1).abs().max()) == 0  # and are left as they were
    hog = {"prior": "hog", "network": network("learned")}
    run_stage(root, "start", paths={"model": "hog/model"}, **hog)
    run_stage(root, "fit", paths={"previous": "hog/model"}, optimisation=PLAIN, network=network("learned"))
    assert 0.001 < float(weights(root, "softmax")["pooling.gamma"]) < 10


def test_without_a_positive_mean_there_is_no_gamma(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longtail.training.beginning.to_float", lambda images: images.permute(0, 3, 1, 2) * torch.nan)
    with pytest.raises(DataError, match=r"give `network\.pooling\.gamma`, or pool in another way"):
        run_stage(root, "start", network=network("learned"))
    assert not (root / "start/model").exists()
    run_stage(root, "start", network=network("learned", gamma=1))


@pytest.mark.parametrize("kind", ["crt", "lws"])
def test_second_stages_leave_the_coefficients(root: Path, kind: str) -> None:
    run_stage(root, "start", network=network("learned"))
    run_stage(root, "fit", network=network("learned"), optimisation=PLAIN)
    again = {"method": {"kind": kind}, "sampling": "class_even", "cost": False, "optimisation": PLAIN}
    run_stage(root, "fit", paths={"previous": "softmax/model", "model": "r/model"}, network=network("learned"), **again)
    before, after = weights(root, "softmax"), weights(root, "r")
    assert all(torch.equal(after[key], value) for key, value in before.items() if key.startswith("pooling."))


@pytest.mark.parametrize(("made", "taken"), [("bilinear", None), (None, "bilinear")])
def test_maps_and_pooled_features_are_not_confused(root: Path, made: str | None, taken: str | None) -> None:
    of = {name: network(name) if name else {"embedding": 8} for name in (made, taken)}
    run_stage(root, "start", network=of[made])
    run_stage(root, "features")
    with pytest.raises(DataError, match=r"make them again with the `network\.pooling` of the training"):
        run_stage(root, "fit", paths=ON, optimisation=PLAIN, network=of[taken])
    assert not (root / "softmax/model").exists()


@pytest.mark.parametrize("embeddings", [True, False])
def test_embeddings_that_would_fill_the_memory_are_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch, embeddings: bool
) -> None:
    """Before a training, which may take days."""
    monkeypatch.setattr(embedding, "LARGEST", 2**20)
    monkeypatch.setattr("longtail.training.model.train", lambda *_, **__: 1 / 0)
    bare = {**network("bilinear"), "embedding": None}
    if embeddings:
        run_stage(root, "start", network=network("bilinear"))
    refused = pytest.raises(DataError, match=r"samples have 8,256 numbers each and would take .*: give `network\.emb")
    with refused:
        run_stage(root, *(("fit",) if embeddings else ("start",)), network=bare)
    run_stage(root, "start", paths={"model": "bare/model"}, network=bare, embeddings=False)


@pytest.mark.slow
@every_pooling
def test_the_file_for_onnx_answers_as_the_model_does(root: Path, tmp_path: Path, name: str) -> None:
    run_stage(root, "start", network=network(name))
    run_stage(root, "fit", network=network(name), optimisation=PLAIN)
    run_stage(root, "index", paths={"model": "softmax/model", "index": "index"})
    said = export(root / "index", tmp_path / "model.onnx")
    assert float(said.rsplit(" ", 1)[1]) < 1e-4


def test_average_pooling_leaves_every_byte_of_parameters_and_blueprints(root: Path) -> None:
    default, named = NetworkParams(), NetworkParams.model_validate({"pooling": {"kind": "average"}})
    assert default.model_dump() == named.model_dump()
    assert "pooling" not in default.model_dump_json()
    assert "pooling" not in FitParams(**PARAMETERS["fit"]).model_dump_json()
    run_stage(root, "start", network={"embedding": 8, "pooling": {"kind": "average"}})
    assert "pooling" not in (current(root / "start/model") / "network.json").read_text(encoding="utf-8")
    assert not [key for key in weights(root, "start") if key.startswith("pooling")]


@pytest.mark.parametrize(
    "pooling",
    [
        {"kind": "kernel", "order": 1},
        {"kind": "kernel", "dimension": 1},
        {"kind": "kernel", "gamma": 0},
        {"kind": "kernel", "gamma": float("nan")},
        {"kind": "kernel", "coefficients": "given"},
        {"kind": "bilinear", "dimension": 64},
        {"kind": "compact_bilinear", "order": 3},
        {"kind": "max"},
        "kernel",
    ],
)
def test_poolings_that_are_none_are_refused(pooling: Any) -> None:
    with pytest.raises(ValidationError):
        NetworkParams.model_validate({"pooling": pooling})


def test_start_embeds_by_what_is_pooled(root: Path) -> None:
    bare = {**network("fixed"), "embedding": None}
    report = run_stage(root, "start", network=bare)
    assert report == {"dimensions": 1 + 128 + 2 * 64}
    assert read_embeddings(current(root / "start/model"), "digit").shape[1] == 1 + 128 + 2 * 64


def test_images_are_compared_by_the_mean_of_their_map(root: Path) -> None:
    run_stage(root, "start", network=network("fixed"))
    run_stage(root, "features", precision="float32")
    maps = np.load(root / "features/features.npy")
    images = open_images(root / "features", root / "split")
    assert images.points(images.tasks[0], np.arange(3)) == pytest.approx(maps[:3].mean(1))
    assert read_domain(root / "features", root / "split", images.tasks[0].name).means.shape[1] == maps.shape[2]


def test_features_of_a_network_that_knows_the_labels_are_not_audited(root: Path) -> None:
    run_stage(root, "start", network=network("fixed"))
    run_stage(root, "fit", paths={"model": "known/model"}, optimisation=PLAIN, network=network("fixed"))
    run_stage(root, "features", paths={"model": "known/model"})
    with pytest.raises(DataError, match="trained on these labels"):
        look(root / "features", root / "split", None, None)
