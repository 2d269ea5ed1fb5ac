"""What `evaluate` measures of probabilities, on made-up models whose best answers under each prior are known."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import TypeAdapter

from longtail.data.dataset import Task
from longtail.data.splits import Split, make_split
from longtail.metrics.scores import Shots
from longtail.problems.classification import Extent, Judged, measure
from longtail.problems.operating_point import operating_point
from longtail.report.operating_point import OperatingPoint
from longtail.rules import knn
from longtail.rules.class_mean import ClassMean
from longtail.rules.head import Head
from longtail.rules.head_adjusted import HeadAdjusted, adjustment
from longtail.rules.knn import NearestNeighbours
from longtail.rules.search import accuracy_under

TASK = Task(name="label", classes=["a", "b", "c", "ground"], background="ground")
PRIOR = np.array([0.6, 0.25, 0.1, 0.05], np.float32)
ANY = TypeAdapter(OperatingPoint)
SUBSETS = {"train": 3000, "validation": 2000, "test": 6000}


def world(seed: int = 0, missing: float = 0.1) -> tuple[Split, Judged]:
    """Gaussians of equal covariance: the logits are the true posterior's at PRIOR, three times too large."""
    rng = np.random.default_rng(seed)
    subset = np.repeat(list(SUBSETS), list(SUBSETS.values()))
    truth = rng.choice(4, len(subset), p=PRIOR.astype(np.float64) / PRIOR.astype(np.float64).sum())
    x = rng.normal(1.5 * np.eye(4)[truth], 1)
    logits = (1.5 * x + np.log(PRIOR)).astype(np.float32)
    names = np.array(TASK.classes, dtype=object)[truth]
    names[rng.random(len(names)) < missing] = None
    ids = [f"i{place}" for place in range(len(subset))]
    split = make_split(pd.DataFrame({"id": ids, "group": ids, "label": names}), subset, [TASK])
    shift = adjustment(PRIOR, None, 1.0).tolist()
    rules = {"head": Head(0.5), "head_adjusted": HeadAdjusted(1.0, shift, 0.5, [])}
    return split, Judged("softmax", "head", rules, x.astype(np.float32), logits, 4, PRIOR)


def found(split: Split, model: Judged) -> OperatingPoint:
    said = {model.name: model.answers(split.positions("test"))}
    return operating_point(TASK, [model], said, split, Shots())


def values(point: OperatingPoint) -> dict[str, Any]:
    """Everything, as JSON has it: no NaN among it."""
    loaded: dict[str, Any] = json.loads(json.dumps(ANY.dump_python(point, mode="json"), allow_nan=False))
    return loaded


def test_a_head_that_is_told_the_prior_is_best_under_each_and_answers_no_background() -> None:
    point = found(*world())
    rows = {one.key: one.accuracy for one in point.under_priors}
    assert set(rows) == {"head", "head_adjusted", "head_told"}
    for name, told in rows["head_told"].items():
        assert told >= max(rows["head"][name], rows["head_adjusted"][name]) - 0.005
    assert rows["head_told"]["backward 50"] > rows["head"]["backward 50"] + 0.2
    # Told of even classes it is the adjusted head, but for the answers of the latter that are the background.
    assert rows["head_told"]["even"] >= rows["head_adjusted"]["even"]


def test_accuracy_under_even_classes_is_the_mean_class_accuracy_of_the_metrics() -> None:
    split, model = world()
    metrics = measure(TASK, model.answers(split.positions("test")), split, Extent(0, 0, 50, 0))
    for one in found(split, model).under_priors:
        if not one.told:
            assert one.accuracy["even"] == pytest.approx(metrics[one.rule].mean_class_accuracy, abs=1e-6)


def test_a_told_head_answers_by_the_shifted_logits_alone() -> None:
    split, model = world()
    truth = split.scored_labels(TASK, "test")
    rows = np.flatnonzero(truth >= 0)
    assert model.logits is not None
    target = np.array([1, 50**0.5, 50]) / (51 + 50**0.5)  # backward 50 of three classes
    expected = (model.logits[rows][:, :3] - np.log(PRIOR[:3]) + np.log(target)).argmax(1)
    (told,) = (one for one in found(split, model).under_priors if one.told)
    share = np.append(target, 0).astype(np.float32)
    assert told.accuracy["backward 50"] == pytest.approx(accuracy_under(truth[rows], expected, share), abs=1e-6)


def test_logits_that_are_too_large_get_their_temperature_and_sets_of_the_promised_coverage() -> None:
    split, model = world()
    assert model.logits is not None
    point = found(split, replace(model, logits=3 * model.logits))
    head, _ = point.calibration
    assert head.temperature == pytest.approx(3, rel=0.15)
    assert head.before is not None
    assert head.after is not None
    assert head.after.ece < 0.5 * head.before.ece
    kinds = point.sets["softmax"]
    assert [row.name for row in kinds["marginal"].per_class] == ["a", "b", "c"]
    for kind in ("marginal", "prevalence_adjusted"):
        assert kinds[kind].coverage == pytest.approx(0.9, abs=0.025)
    assert kinds["class_conditional"].lowest_coverage > kinds["marginal"].lowest_coverage
    assert sum(point.validation) == (split.scored_labels(TASK, "validation") >= 0).sum()


def test_temperature_and_sets_are_chosen_without_a_look_at_the_test_samples() -> None:
    split, model = world()
    assert model.logits is not None
    of_test = (split.subset == "test")[:, None]
    other = replace(model, logits=np.where(of_test, -2 * model.logits, model.logits))
    one, two = found(split, model), found(split, other)
    assert [row.temperature for row in one.calibration] == [row.temperature for row in two.calibration]
    assert one.sets["softmax"]["marginal"].coverage > two.sets["softmax"]["marginal"].coverage + 0.2


def test_blocks_change_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    split, model = world()
    whole = values(found(split, model))
    monkeypatch.setattr(knn, "BLOCK", 1000)
    parts = values(found(split, model))
    assert parts["under_priors"] == whole["under_priors"]
    assert parts["sets"] == whole["sets"]
    for one, other in zip(parts["calibration"], whole["calibration"], strict=True):
        assert one["temperature"] == pytest.approx(other["temperature"], rel=1e-3)


@pytest.mark.parametrize("subset", ["validation", "test", "both"])
def test_without_labels_what_needs_them_is_absent_and_nothing_is_nan(subset: str) -> None:
    split, model = world()
    gone = split.subset != "train" if subset == "both" else split.subset == subset
    split.samples.loc[gone, "label"] = None
    point = found(split, model)
    values(point)
    if subset == "validation":
        assert [(one.temperature, one.after) for one in point.calibration] == [(None, None)] * 2
        assert all(one.before is not None for one in point.calibration)
        assert point.sets["softmax"]["marginal"].size == 3  # nothing decides, so that each class is in every set
    else:
        assert point.under_priors == []
        assert point.sets == {}
        assert all(one.before is None and one.after is None for one in point.calibration)


def test_a_model_without_a_trained_classifier_stands_with_its_answers_alone() -> None:
    split, model = world()
    centres = NearestNeighbours(1.5 * np.eye(4, dtype=np.float32), np.arange(4), 4, 1, "vote")
    point = found(split, replace(model, rules={"class_mean": ClassMean(centres, 0.5)}, logits=None, prior=None))
    assert [one.key for one in point.under_priors] == ["class_mean"]
    assert point.calibration == []
    assert point.sets == {}


def test_a_class_that_was_never_trained_is_in_every_prevalence_adjusted_set() -> None:
    split, model = world()
    point = found(split, replace(model, prior=np.array([0.7, 0.3, 0, 0], np.float32)))
    values(point)
    rows = {row.name: row for row in point.sets["softmax"]["prevalence_adjusted"].per_class}
    assert [rows[name].always for name in "abc"] == [False, False, True]
    assert rows["c"].coverage == 1
