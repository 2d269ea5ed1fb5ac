"""A training of `fits` through the stages: what it leaves, what its report shows, and that it repeats."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from tiny import CRL, DIGIT, OPTIMISATION, evaluate_models, hashes, run_stage

from longtail.artifacts.reading import read_json
from longtail.data.splits import Split
from longtail.errors import DataError
from longtail.methods.catalogue import CATALOGUE
from longtail.network.snapshot import State, current, read_logits
from longtail.rules.search import mean_class_accuracy
from longtail.stages.fit import Params

VARIANTS: list[dict[str, Any]] = [
    *(
        {"mining": mining, "comparison": comparison, "hard": 3}
        for mining in ("instance", "class")
        for comparison in ("relative", "absolute", "distribution")
    ),
    {"normalise": False},
    {"positives": "all"},
    {"weight": "imbalance"},
    {"mining": "class", "distances": "scores"},
]


def fit(root: Path, name: str, **changes: Any) -> dict[str, float]:
    """A training after `start`: class rectification, but for the changes."""
    return run_stage(root, "fit", paths={"model": f"{name}/model"}, **{**CRL, "name": name, **changes})


@pytest.fixture
def root(tmp_path: Path, two_tasks: Path) -> Path:
    """What a training after `start` reads."""
    for name in ("dataset", "split", "start"):
        (tmp_path / name).symlink_to(two_tasks / name)
    return tmp_path


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory, two_tasks: Path) -> Path:
    """Class rectification on two tasks, in a report beside cross-entropy."""
    root = tmp_path_factory.mktemp("fitted")
    for name in ("dataset", "split", "start", "softmax"):
        shutil.copytree(two_tasks / name, root / name)
    fit(root, "crl")
    evaluate_models(root, "crl", "softmax", baseline="softmax")
    return root


@pytest.mark.parametrize("how", VARIANTS, ids=str)
def test_every_variant_trains_on_two_tasks_with_missing_labels(root: Path, how: dict[str, Any]) -> None:
    report = fit(root, "crl", method={"kind": "class_rectification", **how})
    assert {"final_loss", "final_cross_entropy", "final_rectification", "validation_score"} <= set(report)
    assert all(np.isfinite(value) for value in report.values())
    assert report["final_anchors"] > 0


def test_it_is_scored_by_its_head(fitted: Path) -> None:
    state, table = State.read(fitted / "crl/model"), Split.open(fitted / "split")
    assert (state.rule, state.round, state.stopped) == ("head", 0, False)
    logits, truth = read_logits(current(fitted / "crl/model"), "digit"), table.scored_labels(DIGIT, "validation")
    assert logits is not None
    expected = mean_class_accuracy(truth[truth >= 0], logits[truth >= 0].argmax(1))
    assert state.history[0].scores["digit"] == pytest.approx(expected)
    assert State.read(fitted / "index/crl") == state


def test_the_report_compares_it_with_the_baseline_by_imbalance(fitted: Path) -> None:
    metrics = read_json(fitted / "report/metrics.json")["digit"]
    assert [(model, found["rule"]) for model, found in metrics.items()] == [
        ("crl", "head"),
        ("softmax", "head_adjusted"),
    ]
    assert "cluster_wise" in metrics["crl"]["rules"]
    assert metrics["crl"]["difference"]
    page = (fitted / "report/report.html").read_text()
    assert "Class rectification (instance level, relative comparison), answered by the softmax head" in page
    assert "What crl (softmax head) gains over softmax (softmax head, less the log prior)" in page
    curve = pd.read_csv(fitted / "report/plots/loss.csv")
    assert len(curve) == OPTIMISATION["iterations"] // OPTIMISATION["log_every"]
    assert (curve["cross_entropy"] + curve["rectification"]).to_numpy() == pytest.approx(curve["loss"].to_numpy())
    assert curve["hinge_1"].isna().all()


def test_a_collapse_is_said_at_once_and_in_the_report(
    root: Path, fitted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "The embedding of kids has collapsed: nearly all samples of every class lie about the same point."
    assert said not in (fitted / "report/report.html").read_text()
    method = {"kind": "class_rectification", "weight": 100, "normalise": False}
    fit(root, "crl", method=method, optimisation={**OPTIMISATION, "precision": "float32"})
    assert f"warning: {said}" in capsys.readouterr().err
    evaluate_models(root, "crl")
    assert f"crl: {said}" in (root / "report/report.html").read_text()


@pytest.mark.parametrize("weight", [1, 100])
def test_features_of_length_1_do_not_collapse(root: Path, capsys: pytest.CaptureFixture[str], weight: float) -> None:
    fit(root, "crl", method={"kind": "class_rectification", "weight": weight})
    assert "collapsed" not in capsys.readouterr().err


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others(root: Path, fitted: Path) -> None:
    fit(root, "crl")
    assert hashes(root / "crl") == hashes(fitted / "crl")
    fit(root, "other", seed=1)
    assert hashes(root / "other/model/current") != hashes(fitted / "crl/model/current")


@pytest.mark.parametrize(("sampling", "cost"), [("natural", False), ("over", False), ("under", True)])
def test_cross_entropy_with_sampling_and_costs(root: Path, sampling: str, cost: bool) -> None:
    report = fit(root, "softmax", method={"kind": "softmax"}, sampling=sampling, cost=cost)
    assert np.isfinite(report["final_loss"])
    fit(root, "plain", method={"kind": "softmax"})
    same = hashes(root / "plain/model/current") == hashes(root / "softmax/model/current")
    assert same == (sampling == "natural")


def test_a_loss_that_is_not_finite_is_an_error_and_leaves_no_output(root: Path) -> None:
    with pytest.raises(DataError, match=r"the loss is not finite at iteration \d+: lower the learning rate"):
        fit(root, "plain", method={"kind": "softmax"}, optimisation={"iterations": 60, "learning_rate": 1e30})
    assert list((root / "plain").iterdir()) == []


def test_weights_that_the_last_step_ruins_are_an_error_too(root: Path) -> None:
    with pytest.raises(DataError, match="not finite: lower the learning rate"):
        fit(root, "plain", method={"kind": "softmax"}, optimisation={"iterations": 1, "learning_rate": 1e38})
    assert list((root / "plain").iterdir()) == []


@pytest.mark.parametrize("kind", [kind for kind, entry in CATALOGUE.items() if entry.needs_table])
def test_a_method_with_a_table_is_sent_to_the_rounds(kind: str) -> None:
    with pytest.raises(ValidationError, match=f"{kind} is trained on a table, so in `rounds`"):
        Params(method={"kind": kind})


def test_a_method_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(ValidationError, match="there is no method 'softmaxx'; did you mean 'softmax'\\?"):
        Params(method={"kind": "softmaxx"})
