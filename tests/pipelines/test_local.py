"""The Kubeflow pipeline on this machine without Docker: the same results as `dvc repro`, byte for byte."""

import json
import os
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import Finished
from same_results import EVERY_STEP, assert_same_results

from longtail.errors import DataError
from pipelines.local import check_tasks, hand_over, run_local


@pytest.mark.slow
def test_processes_give_the_results_of_dvc_and_one_tracked_run(finished: Finished) -> None:
    workspace, tasks = finished.workspace, finished.tasks
    assert_same_results(workspace, tasks)
    assert (tasks / "evaluate" / "page").read_text() == (tasks / "evaluate" / "report" / "report.html").read_text()

    of_dvc, of_pipeline = sorted(workspace.parents(), key=lambda run: "longtail.execution" in run.data.tags)
    assert of_pipeline.info.status == "FINISHED"
    assert of_pipeline.info.run_name == of_dvc.info.run_name == "lmle on digits"
    for name in ("digit/mean_class_accuracy", "digit/crl/head/mean_class_accuracy", "digit/r1/difference"):
        assert of_pipeline.data.metrics[f"test/{name}"] == of_dvc.data.metrics[f"test/{name}"]
    for name in ("fits.softmax.method.kind", "fits.crl.method.weight", "train.method.margins.g1", "split.test"):
        assert of_pipeline.data.params[name] == of_dvc.data.params[name]
    assert {run.info.run_name for run in workspace.steps(of_pipeline)} == {"fetch", *EVERY_STEP}
    assert {run.info.run_name for run in workspace.steps(of_dvc)} == {"ingest", *EVERY_STEP}


@pytest.mark.slow
def test_one_report_has_all_models_side_by_side(finished: Finished) -> None:
    metrics = json.loads((finished.workspace.path / "artifacts/report/metrics.json").read_text())["digit"]
    assert {model: of_model["rule"] for model, of_model in metrics.items()} == {
        "r1": "cluster_wise",
        "softmax": "head_adjusted",  # the baseline
        "crl": "head_adjusted",
    }
    assert metrics["softmax"]["difference"] is None
    for model in ("r1", "crl"):
        found = metrics[model]["difference"]
        mine, other = (
            metrics[name]["rules"][metrics[name]["rule"]]["mean_class_accuracy"] for name in (model, "softmax")
        )
        assert found["mean"] == pytest.approx(mine - other)
        assert found["low"] <= found["mean"] <= found["high"]


@pytest.mark.slow
def test_a_failing_step_fails_the_run(finished: Finished, tmp_path: Path) -> None:
    workspace = finished.copy(tmp_path / "workspace", ingested=True)
    too_fast = {"softmax": {"optimisation": {"iterations": 20, "learning_rate": 1e20}}}
    workspace.write_parameters(fits=too_fast)
    done = workspace.run("pipelines", "local", "--runner", "subprocess")
    assert done.returncode == 1
    assert "error: the loss is not finite" in done.stdout
    assert done.stderr.splitlines()[-1].startswith("error: the pipeline failed")
    (execution,) = workspace.parents()
    assert execution.info.status == "FAILED"
    statuses = {run.info.run_name: run.info.status for run in workspace.steps(execution)}
    assert statuses.pop("fit@softmax") == "FAILED"
    assert set(statuses.values()) == {"FINISHED"}


def test_a_task_that_left_no_record_is_a_failure(tmp_path: Path) -> None:
    """kfp.local reports SUCCESS if a container ends before its log is read."""
    (tmp_path / "longtail-2026" / "split").mkdir(parents=True)
    (tmp_path / "longtail-2026" / "split" / "metrics").write_text("{}")
    assert check_tasks(tmp_path, ["split"]).name == "longtail-2026"
    with pytest.raises(DataError, match="without a result: start, train"):
        check_tasks(tmp_path, ["split", "train", "start"])


@pytest.mark.skipif(os.getuid() != 0, reason="only root has files that containers must be given")
def test_what_processes_of_root_have_left_the_user_of_the_containers_can_write(tmp_path: Path) -> None:
    """Locks, checkpoints and journals; but what a link leads to stays its owner's."""
    for name in ("work/tracking/run/journal.jsonl", "work/0f/lock", "elsewhere"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(0o600)
    (tmp_path / "work/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "work/dangling").symlink_to("nowhere")
    hand_over(tmp_path / "work", 1000, 1000)
    script = "echo x >> tracking/run/journal.jsonl && rm -r 0f && mkdir tracking/another"
    subprocess.run(["sh", "-c", script], cwd=tmp_path / "work", user=1000, group=1000, check=True)
    assert (tmp_path / "elsewhere").stat().st_uid == 0


def test_an_execution_without_any_task_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / ".kfp_cache").mkdir()
    with pytest.raises(DataError, match="without a result: fetch"):
        check_tasks(tmp_path, ["fetch"])


class NoSteps:
    """A pipeline without a component, which notes the execution that it is run as."""

    def __init__(self) -> None:
        self.pipeline_spec = SimpleNamespace(components={})
        self.executions: list[str] = []

    def __call__(self, **_: Any) -> None:
        self.executions.append(os.environ["LONGTAIL_EXECUTION"])


def test_starts_within_one_second_are_executions_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGTAIL_TRACKING", "off")
    pipeline: Any = NoSteps()
    folders = [run_local(pipeline, {}, "subprocess", tmp_path) for _ in range(20)]
    assert len(set(folders)) == len(set(pipeline.executions)) == 20
    assert pipeline.executions == [f"local-{folder.name}" for folder in folders]


@pytest.mark.parametrize("zone", ["UTC", "Etc/GMT+11", "Etc/GMT-11"])
def test_executions_are_named_by_a_time_that_no_zone_repeats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    monkeypatch.setenv("LONGTAIL_TRACKING", "off")
    monkeypatch.setenv("TZ", zone)
    pipeline: Any = NoSteps()
    time.tzset()
    try:
        folder = run_local(pipeline, {}, "subprocess", tmp_path)
    finally:
        monkeypatch.undo()
        time.tzset()
    named = datetime.strptime(folder.name[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)
    assert abs(datetime.now(UTC) - named) < timedelta(minutes=5)


def test_results_are_not_taken_from_one_of_several_folders(tmp_path: Path) -> None:
    for name in ("longtail-1", "longtail-2"):
        (tmp_path / name / "split").mkdir(parents=True)
        (tmp_path / name / "split" / "metrics").write_text("{}")
    with pytest.raises(DataError, match="several executions: longtail-1, longtail-2"):
        check_tasks(tmp_path, ["split"])
