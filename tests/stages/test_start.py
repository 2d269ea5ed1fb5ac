"""What every training begins with: fresh weights, hand-crafted features, ImageNet weights from torchvision."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from tiny import evaluate_models, hashes, run_stage
from torchvision.models import ResNet18_Weights, resnet18

from longtail.artifacts.reading import read_json
from longtail.data.dataset import PackedDataset
from longtail.data.splits import Split
from longtail.errors import DataError
from longtail.network.prior_features import histograms_of_gradients, pixels
from longtail.network.snapshot import State, current, read_embeddings
from longtail.stages.start import Params

# A round that follows `start`.
ROUND = {
    "cluster": {"model": "start/model"},
    "quintuplets": {"model": "start/model"},
    "train": {"previous": "start/model"},
}
STILL = {"iterations": 1, "learning_rate": 1e-12, "weight_decay": 0, "freeze_batch_norm": True}
RESNET = {"backbone": "resnet18", "embedding": 8}


@pytest.fixture
def data(tmp_path: Path, one_task: Path) -> Path:
    """The data set and the split, without any model."""
    for name in ("dataset", "split"):
        (tmp_path / name).symlink_to(one_task / name)
    return tmp_path


@pytest.fixture
def imagenet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """A checkpoint where torchvision's loading code looks for its download, of random weights."""
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    weights = resnet18().state_dict()
    torch.save(weights, folder / Path(ResNet18_Weights.DEFAULT.url).name)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return weights


@pytest.mark.parametrize(("prior", "features"), [("pixels", pixels), ("hog", histograms_of_gradients)])
def test_hand_crafted_features_start_a_whole_pipeline(data: Path, prior: str, features: object) -> None:
    run_stage(data, "start", prior=prior)
    rows = Split.open(data / "split").samples["row"].to_numpy()
    expected = features(PackedDataset.open(data / "dataset").images(rows))  # type: ignore[operator]
    assert np.array_equal(read_embeddings(current(data / "start/model"), "digit"), expected)
    assert not (data / "start/model/current/network.safetensors").exists()
    assert State.read(data / "start/model").history[0].curve == []
    for stage, paths in ROUND.items():
        run_stage(data, stage, paths=paths)
    assert (data / "r1/model/current/network.safetensors").exists()
    evaluate_models(data, "r1", "start", baseline="start")
    of_start = read_json(data / "report/metrics.json")["digit"]["start"]
    # Nothing was trained, so there is no head that could answer.
    assert of_start["rule"] == "cluster_wise"
    assert "head" not in of_start["rules"]
    page = (data / "report/report.html").read_text()
    assert {"pixels": "Pixels", "hog": "Histograms of oriented gradients"}[prior] in page


def test_it_trains_nothing_and_makes_the_weights_of_its_seed(data: Path) -> None:
    assert run_stage(data, "start") == {"dimensions": 8.0}
    state = State.read(data / "start/model")
    assert (state.rule, state.round, state.stopped) == ("cluster_wise", 0, False)
    assert [(past.round, past.scores, past.curve) for past in state.history] == [(0, {}, [])]
    run_stage(data, "start", paths={"model": "again"})
    assert hashes(data / "again") == hashes(data / "start/model")
    run_stage(data, "start", paths={"model": "other"}, seed=1)
    one, other = (data / model / "current/network.safetensors" for model in ("start/model", "other"))
    assert one.read_bytes() != other.read_bytes()


@pytest.mark.parametrize("prior", ["pixels", "hog"])
def test_after_hand_crafted_features_a_training_has_fresh_weights(data: Path, prior: str) -> None:
    """Those that a fresh start of the same seed has, whatever the features were."""
    run_stage(data, "start", prior=prior)
    run_stage(data, "fit", optimisation=STILL)
    run_stage(data, "start", paths={"model": "fresh/model"})
    trained = load_file(data / "softmax/model/current/network.safetensors")
    for name, value in load_file(data / "fresh/model/current/network.safetensors").items():
        assert torch.allclose(trained[name], value, atol=1e-6), name


def test_hand_crafted_features_are_centred_and_of_length_one() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 12, 3), dtype=np.uint8)
    for features in (pixels(images), histograms_of_gradients(images)):
        assert features.dtype == np.float32
        assert np.linalg.norm(features, axis=1) == pytest.approx(1, abs=1e-5)
        assert features.mean(1) == pytest.approx(0, abs=1e-6)
    flat = images[:1].reshape(-1).astype(float)
    expected = (flat - flat.mean()) / np.linalg.norm(flat - flat.mean())
    assert np.allclose(pixels(images)[0], expected, atol=1e-6)


def test_a_blank_image_has_finite_features() -> None:
    blank = np.zeros((1, 28, 28, 1), np.uint8)
    assert np.isfinite(pixels(blank)).all()
    assert np.isfinite(histograms_of_gradients(blank)).all()


def test_imagenet_weights_are_those_that_torchvision_loads(data: Path, imagenet: dict[str, torch.Tensor]) -> None:
    run_stage(data, "start", prior="imagenet", network=RESNET)
    stored = load_file(data / "start/model/current/network.safetensors")
    for name, value in imagenet.items():
        if not name.startswith("fc."):
            assert torch.equal(stored[f"backbone.body.{name}"], value)
    embeddings = read_embeddings(current(data / "start/model"), "digit")
    assert embeddings.shape[1] == 512
    assert np.linalg.norm(embeddings, axis=1) == pytest.approx(1, abs=1e-5)


def test_imagenet_weights_are_where_the_first_training_begins(data: Path, imagenet: dict[str, torch.Tensor]) -> None:
    run_stage(data, "start", prior="imagenet", network=RESNET)
    for stage, paths in ROUND.items():
        changes = {"network": RESNET, "optimisation": STILL} if stage == "train" else {}
        run_stage(data, stage, paths=paths, **changes)
    run_stage(data, "fit", network=RESNET, optimisation=STILL)
    for model in ("r1/model", "softmax/model"):
        stored = load_file(data / model / "current/network.safetensors")
        assert torch.allclose(stored["backbone.body.conv1.weight"], imagenet["conv1.weight"])
        assert read_embeddings(current(data / model), "digit").shape[1] == 8


def test_weights_that_cannot_be_loaded_name_the_file_to_put_there(
    data: Path, imagenet: dict[str, torch.Tensor]
) -> None:
    file = data / "torch" / "hub" / "checkpoints" / Path(ResNet18_Weights.DEFAULT.url).name
    file.write_bytes(b"torn")
    with pytest.raises(DataError, match=r"cannot load the ImageNet weights of resnet18 .*put https://\S+ into "):
        run_stage(data, "start", prior="imagenet", network=RESNET)
    assert not (data / "start/model").exists()


def test_the_small_network_has_no_imagenet_weights() -> None:
    with pytest.raises(ValidationError, match="the prior imagenet needs a backbone of torchvision or timm"):
        Params(prior="imagenet")


def test_a_pass_over_all_images_can_be_spared_where_nobody_asks_for_it(data: Path) -> None:
    assert run_stage(data, "start", embeddings=False) == {"dimensions": 128.0 * 3 * 3}
    assert not list((data / "start/model/current").glob("embeddings-*"))
    run_stage(data, "fit", optimisation=STILL)
    with pytest.raises(DataError, match="has no embeddings of 'digit': leave out `embeddings: false` of `start`"):
        run_stage(data, "cluster", paths={"model": "start/model"})
