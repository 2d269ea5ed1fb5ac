"""What `evaluate` tells: the verdict on the console and the page, what it is doing, and what was used and injected."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow_server import make_database
from tiny import evaluate_models, run_pipeline, write_tiny_dataset

from longtail import progress, tracking
from longtail.artifacts.reading import read_json
from longtail.data.injection import Step
from longtail.data.splits import Split
from longtail.metrics.answers import compared, same_test
from longtail.report.content import MEAN
from longtail.tracking import ANSWERS


@pytest.fixture
def models(tmp_path: Path, two_tasks: Path) -> Path:
    shutil.copytree(two_tasks, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_the_verdict_stands_on_the_console_and_at_the_head_of_the_page(
    models: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "FIRST", 0.0)
    monkeypatch.setattr(progress, "EVERY", 0.0)
    evaluate_models(models, "r1", "softmax", baseline="softmax")
    said = capfd.readouterr()
    (verdict,) = said.out.splitlines()
    assert verdict.startswith("r1 ")
    assert "the adjusted baseline softmax" in verdict
    assert "the mean of 2 tasks" in verdict
    page = (models / "report/report.html").read_text()
    assert page.index(verdict.replace("<", "&lt;")) < page.index("<nav")
    lines = said.err.splitlines()
    assert [line.split(",")[0] for line in lines if "evaluate: tasks" in line] == [
        "evaluate: tasks: 1 of 2",
        "evaluate: tasks: 2 of 2",
    ]
    assert "evaluate: maps and mistakes: 1 of 2" in said.err
    assert lines[-1] == "evaluate: writing the report"


def test_the_mean_over_tasks_is_that_of_their_accuracies_with_an_interval(models: Path) -> None:
    scalars = evaluate_models(models, "r1", "softmax", baseline="softmax")
    of_tasks = {name: [scalars[f"{task}/{name}"] for task in ("digit", "kids")] for name in ("mean_class_accuracy",)}
    assert scalars[f"{MEAN}/mean_class_accuracy"] == pytest.approx(np.mean(of_tasks["mean_class_accuracy"]))
    differences = [scalars[f"{task}/r1/difference"] for task in ("digit", "kids")]
    assert scalars[f"{MEAN}/r1/difference"] == pytest.approx(np.mean(differences))
    compared = {name: read_json(models / f"report/models/{name}.json") for name in ("r1", "softmax")}
    assert compared["r1"][MEAN]["low"] <= compared["r1"][MEAN]["mean_class_accuracy"]
    assert compared["r1"][MEAN]["mean_class_accuracy"] <= compared["r1"][MEAN]["high"]
    assert compared["softmax"][MEAN]["difference"] == 0
    assert {len(of) for model in compared.values() for of in model.values()} == {4, 9}


def test_a_baseline_that_leads_is_compared_as_one_that_follows(models: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """By its adjusted head, whichever comes first; the leading model itself answers by its own rule."""
    found = {}
    for order in (("r1", "softmax"), ("softmax", "r1")):
        evaluate_models(models, *order, baseline="softmax")
        said = capfd.readouterr().out
        assert said.startswith("r1 ")
        assert "the adjusted baseline softmax" in said
        found[order] = [read_json(models / "report/models/r1.json")[task]["difference"] for task in ("digit", MEAN)]
    one, other = found.values()
    assert one == pytest.approx(other)
    page = (models / "report/report.html").read_text()
    assert "difference to softmax, adjusted, points" in page
    own = read_json(models / "report/metrics.json")["digit"]["softmax"]
    assert (own["rule"], own["reference"]) == ("head", "head_adjusted")
    assert "baseline, by its adjusted head" in (models / "report/model_card.md").read_text()


def test_without_resamples_there_are_figures_and_no_verdict_on_chance(
    models: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    evaluate_models(models, "r1", "softmax", baseline="softmax", resamples=0)
    assert "is not known, since nothing was resampled" in capfd.readouterr().out
    differences = {
        name: {of_task["difference"] for of_task in read_json(models / f"report/models/{name}.json").values()}
        for name in ("r1", "softmax")
    }
    assert differences == {"r1": {None}, "softmax": {0.0}}


def test_the_users_own_thresholds_say_which_classes_are_many_shot(models: Path) -> None:
    counts = Split.open(models / "split").info.subsets["train"].counts["digit"]
    most = max(counts)
    evaluate_models(models, "softmax", shots={"many": most - 1, "few": most - 1})
    found = read_json(models / "report/metrics.json")["digit"]["softmax"]["rules"]["head"]
    assert found["many_accuracy"] is not None
    evaluate_models(models, "softmax", shots={"many": most, "few": most})
    found = read_json(models / "report/metrics.json")["digit"]["softmax"]["rules"]["head"]
    assert found["many_accuracy"] is None
    assert f"more than {most} training images" in (models / "report/report.html").read_text()


def test_calibration_priors_and_sets_are_measured_of_each_task_and_hold_no_nan(models: Path) -> None:
    evaluate_models(models, "r1", "softmax", baseline="softmax")

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    metrics = json.loads((models / "report/metrics.json").read_text(), parse_constant=refuse)
    for of_task in metrics.values():
        assert of_task["r1"]["calibration"] == of_task["r1"]["prediction_sets"] == {}
        softmax = of_task["softmax"]
        assert list(softmax["calibration"]) == ["head", "head_adjusted"]
        assert set(softmax["under_priors"]) == {*softmax["rules"], "head_told"}
        for rule, metric in softmax["rules"].items():
            assert softmax["under_priors"][rule]["even"] == pytest.approx(metric["mean_class_accuracy"], abs=1e-6)
        assert set(softmax["prediction_sets"]) == {"marginal", "class_conditional", "prevalence_adjusted"}
    kids = metrics["kids"]["softmax"]["prediction_sets"]["class_conditional"]
    assert [of_class["name"] for of_class in kids["per_class"]] == ["no", "yes"]
    page = (models / "report/report.html").read_text()
    assert page.count("Calibration and operating point") == 2


def test_the_answers_that_are_kept_give_the_difference_of_the_report(models: Path) -> None:
    answers = {}
    for lead, other in (("r1", "softmax"), ("softmax", "r1")):
        evaluate_models(models, lead, other, baseline=other, resamples=4000)
        answers[lead] = pd.read_parquet(models / "report" / ANSWERS)
    # A baseline of rounds answers by its own rule, as it does where it leads.
    reported = read_json(models / "report/models/softmax.json")[MEAN]["difference"]
    assert same_test(answers["softmax"], answers["r1"])
    assert compared(answers["softmax"], answers["r1"]).mean == pytest.approx(reported)


def test_a_model_that_says_the_same_as_the_champion_is_not_promoted(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(models)
    monkeypatch.delenv("LONGTAIL_TRACKING")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{make_database(models / 'mlflow.db')}")
    for _ in range(2):
        with tracking.stage_run("evaluate", "evaluate", params={}, config={}, dataset="0f343b09", last=True):
            evaluate_models(models, "r1", "softmax", baseline="softmax")
        promoted = tracking.promote(insist=True)
    assert "although its difference to the champion (version 1) is not above 0 by more than chance" in promoted
    assert "95 % interval +0.0 to +0.0, p = 1)" in promoted


def test_the_page_says_how_many_images_are_used_and_how_many_were_taken_out(tmp_path: Path) -> None:
    write_tiny_dataset(tmp_path / "dataset", imbalance=Step(kind="step", factor=4))
    run_pipeline(tmp_path)
    split = Split.open(tmp_path / "split")
    injected = split.info.injected
    assert injected is not None
    page = (tmp_path / "report/report.html").read_text()
    assert f"{injected.removed} of {injected.of} training samples were taken out" in page
    used = sum(subset.samples for subset in split.info.subsets.values())
    assert used < 120
    assert f"<dd>{used} of 120 packed" in page
    assert f"train {split.info.subsets['train'].samples}, validation" in page
