"""The stages after a split that has turned rare classes into background and hidden labels, some samples without any."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import CRL, DIGIT, KIDS, SHAPE, evaluate_models, run_pipeline, run_stage, write_tiny_dataset

from longtail.data.dataset import PackedDataset, Task, write_dataset
from longtail.data.splits import Split

pytestmark = pytest.mark.slow
SPLIT = {"rare_classes": "background", "hidden": {"digit": 0.3, "kids": 0.5}}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished pipeline: two groups of a fourth digit, only one of which also has a label of `kids`."""
    root = tmp_path_factory.mktemp("incomplete")
    write_tiny_dataset(root / "plain", two_tasks=True)
    plain = PackedDataset.open(root / "plain")
    digits = plain.samples["digit"].astype(object)
    digits.iloc[:4] = "odd"
    samples = plain.samples.assign(digit=digits)
    about: dict[str, Any] = {"image_shape": SHAPE, "provenance": "made for a test", "licence": "none"}
    tasks = [Task(name="digit", classes=[*DIGIT.classes, "odd"]), KIDS]
    write_dataset(root / "dataset", samples, [plain.images(np.arange(len(samples)))], tasks=tasks, **about)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LONGTAIL_TRACKING", "off")
        run_pipeline(root, split=SPLIT)
    return root


def test_the_background_is_learned_and_measured_in_nothing(finished: Path) -> None:
    table = Split.open(finished / "split")
    assert table.tasks[0] == Task(name="digit", classes=[*DIGIT.classes, "background"], background="background")
    metrics = json.loads((finished / "report/metrics.json").read_text())["digit"]["r1"]
    for rule in metrics["rules"].values():
        assert [row["name"] for row in rule["per_class"]] == DIGIT.classes
        assert rule["samples"] == (table.scored_labels(table.tasks[0], "test") >= 0).sum()


def test_the_report_says_what_became_background_and_what_was_hidden(finished: Path) -> None:
    table, report = Split.open(finished / "split"), (finished / "report/report.html").read_text()
    assert "became background where a class cannot be in every subset: &#39;odd&#39; of digit (4 samples" in report
    for one in table.info.hidden:
        assert f"{one.hidden} of {one.of} labels of {one.task} were hidden in training and validation." in report


@pytest.mark.usefixtures("untracked")
@pytest.mark.parametrize("sampling", ["natural", "class_even"])
def test_a_method_of_shared_mini_batches_bears_samples_that_no_task_labels(finished: Path, sampling: str) -> None:
    table = Split.open(finished / "split")
    unlabelled = table.samples["digit"].isna() & table.samples["kids"].isna()
    assert unlabelled[table.positions("train")].any()
    model = {"model": f"{sampling}/model"}
    report = run_stage(finished, "fit", paths=model, **{**CRL, "name": sampling, "sampling": sampling})
    assert all(np.isfinite(value) for value in report.values())
    assert np.isfinite(list(evaluate_models(finished, sampling).values())).all()


@pytest.fixture
def untracked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGTAIL_TRACKING", "off")
