"""By which rule a model answers, where a user says it, and for which shares of the classes."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from tiny import run_pipeline, run_stage, write_tiny_dataset

from longtail.artifacts.reading import read_json
from longtail.data.injection import Exponential
from longtail.data.splits import Split
from longtail.inference.answerer import Answerer
from longtail.network.snapshot import State, read_logits
from longtail.rules.base import Evidence, Rule, rule_class
from longtail.rules.head_adjusted import HeadAdjusted
from longtail.stages.index import Params

NATURAL = {"sampling": "natural", "cost": False}
TARGET = {"digit": {"zero": 0.97, "one": 0.02, "two": 0.01}}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A long tail, softmax of natural mini-batches after which an LMLE round comes."""
    root = tmp_path_factory.mktemp("trained")
    write_tiny_dataset(root / "dataset", imbalance=Exponential(kind="exponential", factor=4))
    run_pipeline(root, stages=("split", "start", "fit", "cluster", "quintuplets", "train"), fit=NATURAL)
    return root


@pytest.fixture
def root(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    return tmp_path


def index(root: Path, model: str, **params: Any) -> Path:
    run_stage(root, "index", paths={"model": f"{model}/model", "index": f"index/{model}"}, **params)
    return root / "index" / model


def adjusted(of: Path) -> HeadAdjusted:
    rule = rule_class("head_adjusted").load(of / "rules", "digit")
    assert isinstance(rule, HeadAdjusted)
    return rule


def test_a_model_answers_by_the_rule_that_is_asked_for_wherever_it_answers(root: Path) -> None:
    assert State.read(index(root, "softmax")).rule == "head"
    found = index(root, "softmax", rule="head_adjusted", target=TARGET)
    assert State.read(found).rule == "head_adjusted"
    images = np.random.default_rng(0).integers(0, 255, (20, 28, 28, 1), dtype=np.uint8)
    answerer = Answerer.load(found)
    embeddings, logits = answerer.embedder.all_embedded_and_classified(images)
    expected = adjusted(found).predict(embeddings["digit"], logits["digit"])[0]
    assert answerer.answer(images)["digit"].codes.tolist() == expected.tolist()
    assert (expected == 0).mean() > (logits["digit"].argmax(1) == 0).mean() - 1e-9


def test_the_measure_that_is_asked_for_reaches_the_rules(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it changes there: tests/rules/test_chosen_by_measure.py."""
    seen: list[Evidence] = []
    fit = HeadAdjusted.fit.__func__  # type: ignore[attr-defined]

    def watched(cls: type[HeadAdjusted], evidence: Evidence, fitted: Mapping[str, Rule]) -> HeadAdjusted:
        seen.append(evidence)
        rule: HeadAdjusted = fit(cls, evidence, fitted)
        return rule

    monkeypatch.setattr(HeadAdjusted, "fit", classmethod(watched))
    index(root, "softmax", choose_by="average_f1")
    index(root, "softmax")
    assert [evidence.measure for evidence in seen] == ["average_f1", "mean_class_accuracy"]
    with pytest.raises(ValidationError, match="average_f1"):
        Params.model_validate({"choose_by": "f1"})


def test_a_model_that_lacks_the_rule_keeps_its_own_and_says_so(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert State.read(index(root, "r1", rule="head_adjusted")).rule == "cluster_wise"
    assert (
        "the model has no rule head_adjusted on digit, so it answers by that of its method, cluster_wise"
        in capfd.readouterr().err
    )


def test_a_rule_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValidationError, match="there is no rule 'heads'; there are cluster_wise"):
        Params(rule="heads")


def test_without_it_nothing_is_written_of_it() -> None:
    assert "rule" not in Params().model_dump()


def test_the_report_compares_with_a_baseline_for_even_classes_whatever_the_target(root: Path) -> None:
    """Scored as if classes were even, one for 97 % of the first class would flatter everything beside it."""
    index(root, "r1")
    differences = []
    for target in ({}, TARGET):
        found = index(root, "softmax", target=target)
        run_stage(root, "evaluate", models=["r1", "softmax"], baseline="softmax")
        differences.append(read_json(root / "report/metrics.json")["digit"]["r1"]["difference"]["mean"])
    rule, split = adjusted(found), Split.open(root / "split")
    assert rule.even is not None
    assert not np.allclose(rule.shift, rule.even)
    assert differences[0] == pytest.approx(differences[1])
    logits = read_logits(found / "snapshot", "digit")
    assert logits is not None
    test = split.positions("test")
    even, for_target = ((logits[test] + np.float32(shift)).argmax(1) for shift in (rule.even, rule.shift))
    assert (even == 0).sum() < (for_target == 0).sum()
    assert "index.target says how often classes come" in (root / "report/report.html").read_text()
