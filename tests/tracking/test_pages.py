"""What MLflow has of a pipeline besides its figures: names, tags, data, description, load, and registered models."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from longtail import tracking
from longtail.data.dataset import DatasetInfo, Task
from longtail.data.splits import Split, make_split
from longtail.errors import DataError
from longtail.parameters import check_section
from longtail.stages.evaluate import Params
from longtail.tracking import load, naming

CONFIG: dict[str, Any] = {
    "ingest": {"source": {"kind": "folder", "path": "data/photos"}},
    "fits": {"softmax": {"method": {"kind": "softmax"}}},
    "train": {"method": {"kind": "lmle"}},
    "evaluate": {"models": ["r1", "softmax"]},
}
BETTER = {"baseline": "softmax", "mean": 0.03, "low": 0.01, "high": 0.05, "p": 0.01}


def evaluate(config: dict[str, Any] = CONFIG, comparison: dict[str, Any] | None = None, classes: int = 3) -> None:
    """The last step, which logs as `evaluate` does, on classes of 10, 20, 30 … samples."""
    info, split = data(classes)
    Path("index").mkdir(exist_ok=True)
    with tracking.stage_run("evaluate", "evaluate", params={}, config=config, dataset=info.md5, last=True):
        tracking.log_metrics({"test/kind/accuracy": 0.5, "test/kind/softmax/accuracy": 0.25}, parent=True)
        tracking.set_description("It beats the baseline.")
        tracking.log_dataset(info, split.info, "7644c7857dd6", parent=True)
        example = np.zeros((1, 4, 4, 1), np.uint8)
        accuracy = ["test/kind/accuracy"]
        tracking.log_model(
            Path("index"), tasks=info.tasks, example=example, metrics=accuracy, comparison=comparison, parent=True
        )


def data(classes: int) -> tuple[DatasetInfo, Split]:
    task = Task(name="kind", classes=[f"c{number}" for number in range(classes)])
    labels = np.repeat(np.arange(classes), 10 * (1 + np.arange(classes)))
    kinds = pd.Categorical.from_codes(labels, categories=task.classes)
    samples = pd.DataFrame({"id": labels.astype(str), "group": labels.astype(str), "kind": kinds})
    shape = {"image_shape": (4, 4, 1), "count": len(labels), "shard_sizes": [len(labels)]}
    about = {"md5": "0f343b0931126a20", "provenance": "made up", "licence": "none"}
    info = DatasetInfo(tasks=[task], **shape, **about)
    return info, make_split(samples, np.full(len(labels), "train"), [task])


def runs(client: Any) -> dict[str, Any]:
    experiment = client.get_experiment_by_name("longtail").experiment_id
    return {run.info.run_name: run for run in client.search_runs([experiment])}


def test_a_pipeline_is_named_described_and_tagged(client: Any) -> None:
    evaluate()
    tags = runs(client)["lmle on photos"].data.tags
    wanted = {"method": "lmle", "data": "photos", "task": "kind", "classes": "3", "imbalance_ratio": "3.0"}
    assert {name: tags[f"longtail.{name}"] for name in wanted} == wanted
    assert tags["mlflow.note.content"].startswith("**lmle on photos**\n\nIt beats the baseline.\n\n- commit")


def test_a_pipeline_is_named_as_soon_as_a_step_knows_both(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a cluster a step knows the parameters of those before it alone."""
    monkeypatch.setenv("LONGTAIL_EXECUTION", "run-1")
    monkeypatch.setenv("LONGTAIL_TRACKING", "later")
    with tracking.stage_run("split", "split", params={}, config={"ingest": CONFIG["ingest"]}, dataset="d41d8c"):
        pass
    tracking.sync()
    assert "pipeline run-1" in runs(client)
    evaluate()
    tracking.sync()
    assert sorted(runs(client)) == ["evaluate", "lmle on photos", "split"]


@pytest.mark.parametrize(
    ("change", "title"),
    [
        ({"evaluate": {"models": ["softmax"]}}, "softmax on photos"),
        ({"ingest": {"source": {"kind": "digits"}}}, "lmle on digits"),
        ({"ingest": {"source": {"kind": "table", "table": "labels/silk.csv"}}}, "lmle on silk"),
        ({"ingest": {"source": {"kind": "torchvision", "name": "CIFAR10"}}}, "lmle on CIFAR10"),
        ({"ingest": {}}, None),
        ({"ingest": None}, None),
        ({"evaluate": {}}, None),
        ({"evaluate": {"models": "softmax"}}, None),
        ({"train": {"method": "lmle"}}, None),
    ],
)
def test_titles(change: dict[str, Any], title: str | None) -> None:
    assert naming.title(CONFIG | change) == title


@pytest.mark.parametrize("classes", [3, 1000])
def test_the_data_is_an_input_with_digest_schema_and_class_profile(client: Any, classes: int) -> None:
    evaluate(classes=classes)
    for run in runs(client).values():
        (found,) = [one.dataset for one in run.inputs.dataset_inputs]
        assert (found.name, found.digest) == ("photos", "0f343b09-7644c785")
        profile = json.loads(found.profile)["kind"]
        assert profile["imbalance_ratio"] == classes
        assert (profile["classes"], len(profile["train"])) == (classes, min(classes, 100))
        assert (profile["train"]["c0"], profile["train"][f"c{classes - 1}"]) == (10, 10 * classes)
        assert json.loads(found.source)["md5"] == "0f343b0931126a20"
        assert "mlflow_tensorspec" in json.loads(found.schema)


def test_the_model_has_its_own_metrics_its_data_and_a_version(client: Any) -> None:
    evaluate()
    (model,) = client.search_logged_models([client.get_experiment_by_name("longtail").experiment_id])
    (metric,) = model.metrics
    assert (metric.key, metric.value, metric.dataset_name) == ("test/kind/accuracy", 0.5, "photos")
    assert json.loads(model.tags["mlflow.modelVersions"]) == [{"name": "longtail-photos", "version": 1}]
    for run in runs(client).values():
        assert len(client.get_metric_history(run.info.run_id, "test/kind/accuracy")) == 1


def test_the_parameters_may_say_what_models_are_registered_under(client: Any) -> None:
    evaluate(config=CONFIG | {"evaluate": CONFIG["evaluate"] | {"registered_model": "silk"}}, comparison=BETTER)
    assert client.get_registered_model("silk").aliases == {"challenger": 1}
    assert tracking.promote("silk") == "version 1 of silk is the champion"


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "a b", "silk's", "a?b", "..", "x" * 201])
def test_a_name_that_no_registry_takes_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="is no name of a registered model"):
        check_section("evaluate", {"models": ["softmax"], "registered_model": name}, Params, "params.yaml")


def test_with_tracking_off_nothing_is_promoted_and_no_store_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("LONGTAIL_TRACKING", "off")
    with pytest.raises(DataError, match="tracking is off"):
        tracking.promote()
    assert list(tmp_path.iterdir()) == []


def test_a_challenger_that_beats_the_baseline_becomes_the_champion(client: Any) -> None:
    for _ in range(2):
        evaluate(comparison=BETTER)
    assert client.get_registered_model("longtail-photos").aliases == {"challenger": 2}
    assert tracking.promote() == "version 2 of longtail-photos is the champion"
    assert client.get_registered_model("longtail-photos").aliases == {"champion": 2}
    with pytest.raises(DataError, match="no model has a challenger"):
        tracking.promote()


@pytest.mark.parametrize(("fewest", "told"), [(4, True), (10, False)])
def test_a_promotion_on_few_test_images_says_so(client: Any, fewest: int, told: bool) -> None:
    evaluate(comparison=BETTER | {"model": "crl", "fewest": fewest})
    assert (f"a class has {fewest} independent test images" in tracking.promote()) == told


@pytest.mark.parametrize(
    ("comparison", "why"),
    [
        (None, "no paired test compares it with a baseline"),
        (
            {"model": "softmax", "baseline": "softmax", "fewest": 30},
            "it is softmax, the baseline itself, .* comes first in evaluate.models",
        ),
        ({"model": "crl", "baseline": "softmax", "fewest": 30}, "nothing was resampled"),
        (
            BETTER | {"p": 0.125},
            r"its difference to softmax is not above 0 by more than chance \(\+3.0 points, 95 % interval \+1.0 to "
            r"\+5.0, p = 0.12\)",
        ),
        (BETTER | {"low": -0.01, "p": 0.3}, r"not above 0 by more than chance .*-1.0 to \+5.0, p = 0.3"),
        (BETTER | {"mean": -0.03, "low": -0.05, "high": -0.01}, r"not above 0 by more than chance \(-3.0 points"),
        ({"baseline": "softmax", "mean": 0.03, "p": 1.0}, "compare it with softmax: all test images are of one group"),
    ],
)
def test_a_challenger_without_a_better_test_stays_one_unless_the_user_insists(
    client: Any, comparison: dict[str, Any] | None, why: str
) -> None:
    evaluate(comparison=comparison)
    with pytest.raises(DataError, match=f"stays the challenger: .*{why}.*--insist"):
        tracking.promote()
    assert client.get_registered_model("longtail-photos").aliases == {"challenger": 1}
    assert "is the champion, although" in tracking.promote("longtail-photos", insist=True)
    assert client.get_registered_model("longtail-photos").aliases == {"champion": 1}


def test_one_of_several_challengers_is_named(client: Any) -> None:
    evaluate(comparison=BETTER)
    evaluate(CONFIG | {"ingest": {"source": {"kind": "digits"}}}, BETTER)
    with pytest.raises(DataError, match=r"several models have a challenger: .*--name"):
        tracking.promote()
    with pytest.raises(DataError, match="no model longtail-silk has a challenger"):
        tracking.promote("longtail-silk")
    assert tracking.promote("longtail-digits").startswith("version 1 of longtail-digits")


@pytest.mark.parametrize("name", [None, "longtail-photos"])
def test_a_challenger_is_found_behind_a_hundred_other_models(client: Any, name: str | None) -> None:
    evaluate(comparison=BETTER)
    for number in range(100):
        client.create_registered_model(f"a{number}")
    assert tracking.promote(name).startswith("version 1 of longtail-photos")


def test_a_step_of_some_time_shows_its_load(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow.system_metrics.metrics.cpu_monitor  # noqa: F401 - the import's own seconds

    monkeypatch.setattr(load, "SECONDS", 0.1)
    with tracking.stage_run("evaluate", "evaluate", params={}, config=CONFIG, dataset="d41d8c", last=True):
        time.sleep(1)
    metrics = runs(client)["evaluate"].data.metrics
    assert {"system/cpu_utilization_percentage", "system/system_memory_usage_megabytes"} <= metrics.keys()
