"""Pretrain on one data set, fine-tune on another: two pipelines, and one lineage."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from tiny import evaluate_models, hashes, run_stage, write_parameters
from torch import Tensor

from longtail.artifacts.lineage import Lineage
from longtail.artifacts.weights import read_weights
from longtail.data.dataset import PackedDataset
from longtail.errors import DataError
from longtail.network.snapshot import current
from longtail.stages.start import Params

NETWORK = {"embedding": 8}


@pytest.fixture(scope="module")
def source(domains: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline that has pretrained on two of the three classes of photos."""
    root = tmp_path_factory.mktemp("source")
    (root / "dataset").symlink_to(domains / "photos/dataset")
    run_stage(root, "split", classes={"digit": ["zero", "two"]}, tasks=["digit"])
    run_stage(root, "start")
    run_stage(root, "fit", name="pretrained", paths={"model": "pretrained/model"})
    return root / "pretrained/model"


@pytest.fixture
def target(domains: Path, tmp_path: Path) -> Path:
    for name in ("dataset", "split"):
        (tmp_path / name).symlink_to(domains / "birds" / name)
    return tmp_path


def digest(model: Path) -> str:
    return hashlib.sha256((current(model) / "network.safetensors").read_bytes()).hexdigest()


def prior(model: Path, **changes: Any) -> dict[str, Any]:
    return {"prior": "model", "weights": {"path": str(model), "sha256": digest(model)}, "network": NETWORK, **changes}


def backbone(model: Path) -> dict[str, Tensor]:
    weights = read_weights(current(model) / "network.safetensors")
    return {name: value for name, value in weights.items() if name.startswith("backbone.")}


def test_the_backbone_is_taken_and_what_is_on_top_is_fresh(source: Path, target: Path) -> None:
    run_stage(target, "start", **prior(source))
    taken, before = backbone(target / "start/model"), backbone(source)
    assert taken.keys() == before.keys()
    assert all(torch.equal(taken[name], before[name]) for name in taken)
    run_stage(target, "start", paths={"model": "fresh/model"})
    fresh, there = (
        read_weights(current(target / name) / "network.safetensors") for name in ("fresh/model", "start/model")
    )
    on_top = [name for name in fresh if not name.startswith("backbone.")]
    assert on_top
    assert all(torch.equal(fresh[name], there[name]) for name in on_top)


def test_the_lineage_shows_both_data_sets_and_the_parameters_of_both(source: Path, target: Path) -> None:
    run_stage(target, "start", **prior(source))
    run_stage(target, "fit", name="tuned", paths={"model": "tuned/model"})
    evaluate_models(target, "tuned")
    lineage = Lineage.read(target / "tuned/model")
    here, there = (PackedDataset.open(path).info.md5 for path in (target / "dataset", source.parents[1] / "dataset"))
    steps = [(step.stage, step.dataset) for step in lineage.chain()]
    assert steps == [
        *(("split", here), ("split", there), ("start", there), ("fit", there)),
        *(("start", here), ("fit", here)),
    ]
    assert lineage.dataset == here
    assert set(lineage.parameters()["fits"]) == {"pretrained", "tuned"}
    assert "classes" not in lineage.parameters()["split"]
    chosen = [step.params.get("classes") for step in lineage.chain() if step.dataset == there]
    assert chosen[0] == {"digit": ["zero", "two"]}
    page = (target / "report/report.html").read_text(encoding="utf-8")
    assert f"tuned: began with weights that were trained on another data set (md5 {there})" in page


def test_fit_takes_a_model_of_other_data_as_it_is(source: Path, target: Path) -> None:
    """Without `start`: `longtail fit --previous`."""
    (target / "elsewhere").symlink_to(source.parent)
    run_stage(target, "fit", name="tuned", paths={"previous": "elsewhere/model", "model": "tuned/model"})
    datasets = {step.dataset for step in Lineage.read(target / "tuned/model").chain()}
    assert len(datasets) == 2


@pytest.mark.slow
def test_it_is_a_command_of_the_target_and_its_parameters(source: Path, target: Path) -> None:
    parameters = write_parameters(target / "params.yaml", start=prior(source))
    words = [f"--{name}={target / path}" for name, path in (("dataset",) * 2, ("split",) * 2, ("model", "start/model"))]
    command = [sys.executable, "-m", "longtail", "start", *words, "--params", str(parameters)]
    subprocess.run(command, check=True, env={"LONGTAIL_TRACKING": "off", "PATH": "", "PYTHONPATH": ":".join(sys.path)})
    by_command = hashes(target / "start/model")
    shutil.rmtree(target / "start")
    run_stage(target, "start", **prior(source))
    assert hashes(target / "start/model") == by_command


def test_what_cannot_be_taken_is_one_sentence_and_nothing_is_written(
    source: Path, target: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(source, tmp_path / "other")
    about = json.loads((other / "current/network.json").read_text())
    wrong = {"path": str(source), "sha256": "0" * 64}
    empty = {"path": str(source.parent), "sha256": "0" * 64}
    for changes, message in (
        ({"weights": wrong}, f"has the sha256 {digest(source)}, not 0000"),
        ({"weights": {**wrong, "path": str(tmp_path / "nowhere")}}, "the input 'weights' does not exist"),
        ({"weights": empty}, "is not a model"),
        ({"network": {"backbone": "resnet32", "embedding": 8}}, "has the backbone small_cnn, not resnet32"),
    ):
        with pytest.raises(DataError, match=message):
            run_stage(target, "start", **prior(source, **changes))
        assert not (target / "start/model").exists()
    (other / "current/network.json").write_text(json.dumps(about | {"backbone": "resnet32"}))
    with pytest.raises(DataError, match=r"network\.json"):
        run_stage(target, "start", **prior(other))


def test_weights_of_images_with_other_channels_are_refused(source: Path, target: Path) -> None:
    model = shutil.copytree(source, target / "colour")
    (model / "digests.json").unlink()
    weights = read_weights(model / "current/network.safetensors")
    weights["backbone.0.0.weight"] = weights["backbone.0.0.weight"].expand(-1, 3, -1, -1).contiguous()
    from safetensors.torch import save_file

    save_file(weights, model / "current/network.safetensors")
    with pytest.raises(DataError, match="are of images of another kind"):
        run_stage(target, "start", **prior(model))


@pytest.mark.parametrize("prior", ["random", "hog", "pixels"])
def test_no_other_prior_takes_weights(prior: Any) -> None:
    with pytest.raises(ValidationError, match="the priors file and model need"):
        Params(prior=prior, weights={"path": "x", "sha256": "0" * 64})
    with pytest.raises(ValidationError, match="the priors file and model need"):
        Params(prior="model")
