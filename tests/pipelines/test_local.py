"""The Kubeflow pipeline on this machine without Docker: the same results as `dvc repro`, byte for byte."""

import json
from pathlib import Path
from typing import Any

import pytest
from tiny import hashes
from workspace import Workspace

from longtail.errors import DataError
from pipelines.local import check_tasks

# Where `dvc repro` and the pipeline leave the same.
SAME = {
    "artifacts/dataset": "fetch/dataset",
    "artifacts/split": "split/split",
    "artifacts/r0/model": "start/model",
    "artifacts/r1/clusters": "cluster/clusters",
    "artifacts/r1/quintuplets": "quintuplets/quintuplets",
    "artifacts/r1/model": "train/model",
    "artifacts/index": "index/index",
    "artifacts/report": "evaluate/report",
}
METRICS = {"split": "split", "start": "start", "r1-train": "train", "index": "index", "evaluate": "evaluate"}


# The pipeline without rounds.
WITHOUT_ROUNDS: dict[str, Any] = {"rounds": {}, "classifiers": ["crl"], "evaluated": "crl"}
SAME_WITHOUT_ROUNDS = {
    **{of_dvc: of_task for of_dvc, of_task in SAME.items() if not of_dvc.startswith("artifacts/r1/")},
    "artifacts/crl/model": "fit/model",
}
METRICS_WITHOUT_ROUNDS = {
    "split": "split",
    "start": "start",
    "crl-fit": "fit",
    "index": "index",
    "evaluate": "evaluate",
}


def assert_same_results(
    workspace: Workspace, tasks: Path, same: dict[str, str] = SAME, metrics: dict[str, str] = METRICS
) -> None:
    """Every artifact and metric of the pipeline is that of `dvc repro`."""
    for of_dvc, of_task in same.items():
        assert hashes(workspace.path / of_dvc) == hashes(tasks / of_task), of_dvc
    for of_dvc, of_task in metrics.items():
        expected = json.loads((workspace.path / f"metrics/{of_dvc}.json").read_text())
        assert json.loads((tasks / of_task / "metrics").read_text())["metrics"] == expected, of_dvc


@pytest.mark.slow
def test_processes_give_the_results_of_dvc_and_one_tracked_run(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.repro()
    tasks = workspace.local("--runner", "subprocess")
    assert_same_results(workspace, tasks)
    assert (tasks / "evaluate" / "page").read_text() == (tasks / "evaluate" / "report" / "report.html").read_text()

    of_dvc, of_pipeline = sorted(workspace.parents(), key=lambda run: "longtail.execution" in run.data.tags)
    assert of_pipeline.info.status == "FINISHED"
    assert of_pipeline.info.run_name == f"pipeline {of_pipeline.data.tags['longtail.execution']}"
    name = "test/digit/cluster_wise/mean_class_accuracy"
    assert of_pipeline.data.metrics[name] == of_dvc.data.metrics[name]
    names = {run.info.run_name for run in workspace.steps(of_pipeline)}
    assert names == {"fetch", "split", "start", "cluster@r1", "quintuplets@r1", "train@r1", "index", "evaluate"}


@pytest.mark.slow
def test_the_pipeline_without_rounds_gives_the_results_of_dvc(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert workspace.repro(**WITHOUT_ROUNDS) == ["ingest", "split", "start", "fit@crl", "index", "evaluate"]
    assert workspace.repro(**WITHOUT_ROUNDS) == []
    tasks = workspace.local("--runner", "subprocess")
    assert_same_results(workspace, tasks, SAME_WITHOUT_ROUNDS, METRICS_WITHOUT_ROUNDS)
    of_dvc, of_pipeline = sorted(workspace.parents(), key=lambda run: "longtail.execution" in run.data.tags)
    name = "test/digit/head/mean_class_accuracy"
    assert of_pipeline.data.metrics[name] == of_dvc.data.metrics[name]
    assert {run.info.run_name for run in workspace.steps(of_pipeline)} == {"fetch", *METRICS_WITHOUT_ROUNDS.values()}


@pytest.mark.slow
def test_a_failing_step_fails_the_run(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.write_parameters()
    workspace.dvc("repro", "ingest")
    workspace.write_parameters(start={"optimisation": {"iterations": 20, "learning_rate": 1e20}})
    done = workspace.run("pipelines", "local", "--runner", "subprocess")
    assert done.returncode == 1
    assert "error: the loss is not finite" in done.stdout
    assert done.stderr.splitlines()[-1].startswith("error: the pipeline failed")
    executions = [run for run in workspace.parents() if "longtail.execution" in run.data.tags]
    assert [run.info.status for run in executions] == ["FAILED"]
    assert sorted(run.info.status for run in workspace.steps(executions[0])) == ["FAILED", "FINISHED", "FINISHED"]


def test_a_task_that_left_no_record_is_a_failure(tmp_path: Path) -> None:
    """kfp.local says SUCCESS of a container that was gone before its log could be read."""
    (tmp_path / "longtail-lmle-2026" / "split").mkdir(parents=True)
    (tmp_path / "longtail-lmle-2026" / "split" / "metrics").write_text("{}")
    assert check_tasks(tmp_path, ["split"]).name == "longtail-lmle-2026"
    with pytest.raises(DataError, match="without a result: start, train"):
        check_tasks(tmp_path, ["split", "train", "start"])


def test_an_execution_without_any_task_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / ".kfp_cache").mkdir()
    with pytest.raises(DataError, match="without a result: fetch"):
        check_tasks(tmp_path, ["fetch"])
