"""A classifier without rounds through the stages: what `fit` leaves, what its report shows, and that it repeats."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from tiny import DIGIT, OPTIMISATION, hashes, run_stage

from longtail.data.splits import Split
from longtail.network.snapshot import State, current, read_logits
from longtail.rules.search import mean_class_accuracy
from longtail.stages import fit

VARIANTS = [
    {"kind": "class_rectification", "mining": mining, "comparison": comparison, "hard": 3}
    for mining in ("instance", "class")
    for comparison in ("relative", "absolute", "distribution")
]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory, two_tasks: Path) -> Path:
    """The tiny pipeline without rounds, on two tasks."""
    root = tmp_path_factory.mktemp("fitted")
    for name in ("dataset", "split", "r0"):
        shutil.copytree(two_tasks / name, root / name)
    run_stage(root, "fit")
    for stage in ("index", "evaluate"):
        run_stage(root, stage, paths={"model": "crl/model"})
    return root


@pytest.mark.parametrize("how", VARIANTS, ids=lambda how: f"{how['mining']}-{how['comparison']}")
def test_every_variant_trains_on_two_tasks_with_missing_labels(tmp_path: Path, two_tasks: Path, how: Any) -> None:
    for name in ("dataset", "split"):
        shutil.copytree(two_tasks / name, tmp_path / name)
    report = run_stage(tmp_path, "fit", method=how)
    assert {"final_loss", "final_cross_entropy", "final_rectification", "validation_score"} <= set(report)
    assert all(np.isfinite(value) for value in report.values())
    assert report["final_anchors"] > 0


def test_it_is_judged_by_its_head(fitted: Path) -> None:
    state, table = State.read(fitted / "crl/model"), Split.open(fitted / "split")
    assert (state.judge, state.round, state.stopped) == ("head", 0, True)
    logits, truth = read_logits(current(fitted / "crl/model"), "digit"), table.scored_labels(DIGIT, "validation")
    assert logits is not None
    expected = mean_class_accuracy(truth[truth >= 0], logits[truth >= 0].argmax(1))
    assert state.history[0].scores["digit"] == pytest.approx(expected)
    assert json.loads((fitted / "index/judge.json").read_text()) == "head"


def test_the_report_compares_it_with_the_start_by_imbalance(fitted: Path) -> None:
    metrics = json.loads((fitted / "report/metrics.json").read_text())
    assert {"softmax head", "softmax head of the start", "cluster-wise kNN"} <= set(metrics["digit"])
    page = (fitted / "report/report.html").read_text()
    assert "Class rectification (instance level, relative comparison), classified by the softmax head" in page
    assert "What softmax head gains over softmax head of the start" in page
    curve = pd.read_csv(fitted / "report/plots/loss.csv")
    assert len(curve) == OPTIMISATION["iterations"] // OPTIMISATION["log_every"]
    assert (curve["cross_entropy"] + curve["rectification"]).to_numpy() == pytest.approx(curve["loss"].to_numpy())
    assert curve["hinge_1"].isna().all()


def test_a_collapse_is_said_at_once_and_in_the_report(
    tmp_path: Path, fitted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "The embedding of kids has collapsed: nearly all samples of every class have the same."
    assert said not in (fitted / "report/report.html").read_text()
    for name in ("dataset", "split", "r0"):
        shutil.copytree(fitted / name, tmp_path / name)
    run_stage(tmp_path, "fit", method={"kind": "class_rectification", "weight": 100})
    assert f"warning: {said}" in capsys.readouterr().err
    for stage in ("index", "evaluate"):
        run_stage(tmp_path, stage, paths={"model": "crl/model"})
    assert said in (tmp_path / "report/report.html").read_text()


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others(tmp_path: Path, fitted: Path) -> None:
    for name in ("dataset", "split"):
        shutil.copytree(fitted / name, tmp_path / name)
    run_stage(tmp_path, "fit")
    assert hashes(tmp_path / "crl") == hashes(fitted / "crl")
    run_stage(tmp_path, "fit", paths={"model": "other/model"}, seed=1)
    assert hashes(tmp_path / "other") != hashes(fitted / "crl")


@pytest.mark.parametrize(
    ("method", "sampling", "cost"),
    [("softmax", "natural", False), ("softmax", "over", False), ("softmax", "under", True)],
)
def test_cross_entropy_with_sampling_and_costs(
    tmp_path: Path, two_tasks: Path, method: str, sampling: str, cost: bool
) -> None:
    for name in ("dataset", "split"):
        shutil.copytree(two_tasks / name, tmp_path / name)
    report = run_stage(tmp_path, "fit", method={"kind": method}, sampling=sampling, cost=cost)
    assert np.isfinite(report["final_loss"])
    run_stage(tmp_path, "fit", paths={"model": "plain/model"}, method={"kind": method})
    same = hashes(tmp_path / "plain/model/current") == hashes(tmp_path / "crl/model/current")
    assert same == (sampling == "natural")


def test_weights_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValidationError, match="pretrained needs a resnet"):
        fit.Params(pretrained=True)
