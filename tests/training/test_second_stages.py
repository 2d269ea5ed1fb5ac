"""Second stages: what is frozen keeps its bytes, batch-norm statistics included, and the rest is trained."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from tiny import OPTIMISATION, hashes, run_stage
from torch import Tensor

from longtail.errors import DataError
from longtail.network.snapshot import current, read_embeddings, read_logits, read_priors
from longtail.stages.fit import Params
from longtail.training import loop

CLASS_EVEN = {"sampling": "class_even", "cost": False}


def weights(model: Path) -> dict[str, Tensor]:
    return load_file(current(model) / "network.safetensors")


def trained(prepared: Path, model: Path, kind: str, previous: str = "softmax/model", **own: Any) -> Path:
    run_stage(
        prepared, "fit", paths={"previous": previous, "model": str(model)}, method={"kind": kind}, **CLASS_EVEN | own
    )
    return model


@pytest.mark.parametrize("kind", ["crt", "lws"])
def test_all_below_the_classifier_keeps_its_bytes(tmp_path: Path, prepared: Path, kind: str) -> None:
    before, after = weights(prepared / "softmax/model"), weights(trained(prepared, tmp_path / kind, kind))
    body = [name for name in before if not name.startswith("classifiers.")]
    assert any("running_mean" in name for name in body)
    for name in body:
        assert before[name].numpy().tobytes() == after[name].numpy().tobytes(), name
    for task in ("digit", "kids"):
        one, two = (read_embeddings(current(model), task) for model in (prepared / "softmax/model", tmp_path / kind))
        assert one.tobytes() == two.tobytes()
        one, two = (read_logits(current(model), task) for model in (prepared / "softmax/model", tmp_path / kind))
        assert one is not None
        assert two is not None
        assert (one != two).any()


def test_crt_begins_with_fresh_classifiers_and_lws_scales_those_that_were(tmp_path: Path, prepared: Path) -> None:
    before = weights(prepared / "softmax/model")
    still = {"optimisation": {"iterations": 1, "learning_rate": 1e-9, "log_every": 1, "checkpoint_every": 1}}
    fresh = weights(trained(prepared, tmp_path / "crt", "crt", **still))
    scaled = weights(trained(prepared, tmp_path / "lws", "lws"))
    for task in ("0", "1"):
        assert not torch.allclose(before[f"classifiers.{task}.weight"], fresh[f"classifiers.{task}.weight"], atol=0.01)
        for name in ("weight", "bias"):
            assert torch.equal(before[f"classifiers.{task}.{name}"], scaled[f"classifiers.{task}.{name}"])
        assert (scaled[f"classifiers.{task}.scale"] != 1).all()


def test_scales_that_were_not_trained_change_no_logit(tmp_path: Path, prepared: Path) -> None:
    still = {"optimisation": {"iterations": 1, "learning_rate": 1e-12, "log_every": 1, "checkpoint_every": 1}}
    model = trained(prepared, tmp_path / "lws", "lws", **still)
    for task in ("digit", "kids"):
        one, two = (read_logits(current(made), task) for made in (prepared / "softmax/model", model))
        assert one is not None
        assert two is not None
        assert abs(one - two).max() < 1e-5


def test_lws_needs_a_linear_classifier_before_it(tmp_path: Path, prepared: Path) -> None:
    with pytest.raises(DataError, match="lws goes on with a trained classifier, and what it follows has none"):
        trained(prepared, tmp_path / "lws", "lws", previous="start/model")
    trained(prepared, tmp_path / "ldam", "ldam", previous="start/model")
    with pytest.raises(DataError, match="lws goes on with a linear classifier of the same classes"):
        trained(prepared, tmp_path / "lws", "lws", previous=f"{tmp_path}/ldam")
    assert not (tmp_path / "lws").exists()


MIXED = {"kind": "softmax", "mixup": {"alpha": 1, "kappa": 2}}


@pytest.mark.parametrize(
    "how",
    [
        {"method": MIXED},
        {"sampling": "progressive", "deferred": 0.5, "cost": 0.5},
        {"optimisation": {**OPTIMISATION, "precision": "bfloat16", "schedule": "step"}},
        {"optimisation": {**OPTIMISATION, "augmentation": {"policy": "randaugment", "crop": 0.5, "cutout": 0.3}}},
    ],
)
def test_what_is_random_or_changes_in_the_course_resumes_to_the_same_bytes(
    tmp_path: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch, how: dict[str, Any]
) -> None:
    whole = loop.save_checkpoint

    def failing(*args: Any) -> None:
        whole(*args)
        if args[4] >= 8:
            raise MemoryError

    def fit(name: str) -> None:
        run_stage(prepared, "fit", paths={"model": str(tmp_path / name)}, **how)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", failing)
        with pytest.raises(MemoryError):
            fit("resumed")
    fit("resumed")
    fit("whole")
    assert hashes(tmp_path / "resumed") == hashes(tmp_path / "whole")
    run_stage(prepared, "fit", paths={"model": str(tmp_path / "plain")})
    assert hashes(tmp_path / "plain") != hashes(tmp_path / "whole")


def test_deferral_of_nothing_is_refused() -> None:
    with pytest.raises(ValidationError, match="nothing is deferred: softmax draws naturally and without weights"):
        Params(sampling="natural", cost=0, deferred=0.8)
    with pytest.raises(ValidationError, match="nothing is deferred"):
        Params(sampling=0, cost=0, deferred=0.8)
    assert Params(sampling=1).sampling == "class_even"
    Params(sampling="natural", cost=0, deferred=0.8, method={"kind": "class_balanced"})


def test_a_more_balanced_subset_is_the_prior_that_is_corrected(tmp_path: Path, prepared: Path) -> None:
    model = trained(prepared, tmp_path / "few", "softmax", sampling="natural", at_most=2)
    prior = read_priors(current(model), "digit")[0]
    assert prior is not None
    assert prior.tolist() == pytest.approx([1 / 3] * 3)
