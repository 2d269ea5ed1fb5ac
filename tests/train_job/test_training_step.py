"""The component, and the pipeline in which it takes the place of `train`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from compiled import Compiled, kinds, stage_of, types
from job_example import INPUTS, JOB, ROOT, Tree, section
from mlflow_server import make_database
from small_disk import small_disk
from trainer_stub import Trainer

import components
from components.images import CUDA
from longtail.errors import DataError
from longtail.stages.contract import artifacts
from longtail.tracking.runs import PARENT
from longtail.train_job import launcher
from longtail.train_job.cluster import Cluster
from longtail.train_job.manifest import Job
from pipelines.arguments import kubernetes_settings
from pipelines.resources import LAUNCHER, REQUESTS


def test_the_component_hands_on_everything_and_leaves_the_scalars(
    tmp_path: Path, trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: Tree = {}

    def fake(inputs: Tree, model: Path, section: Tree, job: Job, cluster: Cluster) -> dict[str, float]:
        given.update(inputs=inputs, model=model, section=section, job=job)
        return {"round": 1.0}

    class Artifact:
        def __init__(self, name: str) -> None:
            self.path = str(tmp_path / name)

        def log_metric(self, name: str, value: float) -> None:
            given[name] = value

    monkeypatch.setattr(launcher, "launch", fake)
    monkeypatch.setattr(Cluster, "around_this_pod", trainer.cluster)
    artifacts_ = {name: Artifact(name) for name in (*INPUTS, "model", "metrics")}
    components.train_job.python_func(params=section(), job=JOB.model_dump(), **artifacts_)
    assert given == {
        "inputs": {name: tmp_path / name for name in INPUTS},
        "model": tmp_path / "model",
        "section": section(),
        "job": JOB,
        "round": 1.0,
    }
    assert json.loads((tmp_path / "metrics").read_text())["metrics"] == {"round": 1.0}


Fails = Callable[..., str]


@pytest.fixture
def fails(
    tmp_path: Path, inputs: dict[str, Path], volume: Path, trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> Fails:
    """Let the component fail, with tracking; the sentence it ends with, once the runs in MLflow have failed."""
    monkeypatch.delenv("LONGTAIL_TRACKING")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{make_database(tmp_path / 'mlflow.db')}")
    monkeypatch.setenv("LONGTAIL_STEP", "train@r1")
    monkeypatch.setattr(Cluster, "around_this_pod", trainer.cluster)

    def fail(record: str = "record", **job: Any) -> str:
        paths = {name: str(path) for name, path in inputs.items()}
        asked = JOB.model_dump() | job
        with pytest.raises(SystemExit) as ended:
            launcher.launch_component(paths, str(tmp_path / "model"), section(), asked, str(tmp_path / record))
        assert statuses(tmp_path) == {"": "FAILED", "train@r1": "FAILED"}
        return str(ended.value.code)

    return fail


def statuses(tmp_path: Path) -> dict[str, str]:
    """Of the pipeline's run and of the step's below it, by step."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.get_experiment_by_name("longtail")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    found = {run.data.tags["longtail.step"] if PARENT in run.data.tags else "": run.info.status for run in runs}
    assert len(runs) == len(found)
    return found


def test_a_component_without_a_cluster_fails_the_pipelines_run(fails: Fails, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Cluster:
        raise DataError("this is no pod")

    monkeypatch.setattr(Cluster, "around_this_pod", nowhere)
    assert fails() == "error: this is no pod"


def test_a_component_with_a_wrong_argument_fails_the_pipelines_run(fails: Fails) -> None:
    assert fails(nodes=2).startswith("error: the pipeline's arguments: job.nodes is not a parameter")


@pytest.mark.parametrize("options", ["size=8k", "nr_inodes=3"])
def test_a_full_volume_fails_the_pipelines_run(fails: Fails, volume: Path, trainer: Trainer, options: str) -> None:
    with small_disk(volume, options):
        assert "No space left on device" in fails()
    assert trainer.created == []


def test_a_record_that_cannot_be_written_fails_the_pipelines_run(fails: Fails, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "launch", lambda *_: {"round": 1.0})
    assert fails("nowhere/record").startswith("error: No such file or directory: ")


@pytest.fixture(scope="module")
def compiled() -> Compiled:
    return Compiled(num_nodes=2, gpus_per_node=4)


def test_one_setting_changes_the_training_step_and_nothing_else(compiled: Compiled) -> None:
    default = Compiled()
    assert set(compiled.tasks) == set(default.tasks)
    for task in compiled.tasks:
        if stage_of(task) == "train":
            continue
        assert compiled.tasks[task] == default.tasks[task]
        assert compiled.pods[task] == default.pods[task]
        assert compiled.containers[task]["resources"] == default.containers[task]["resources"]


def test_the_training_step_has_the_artifacts_of_its_stage_and_asks_for_no_gpu(compiled: Compiled) -> None:
    assert compiled.with_gpu() == {"start", "features", "fit"}
    component = compiled.component("train@r2")
    assert types(component["inputDefinitions"]) == kinds("train", "input")
    assert types(component["outputDefinitions"]) == kinds("train", "output") | {"metrics": "Metrics"}
    for task in ("train@r1", "train@r2"):
        box, parameters = compiled.containers[task], compiled.tasks[task]["inputs"]["parameters"]
        assert box["resources"]["resourceCpuLimit"] == LAUNCHER.cpu
        assert box["image"] == CUDA
        assert "launch_component" in " ".join(box["command"])
        assert int(compiled.pods[task]["activeDeadlineSeconds"]) == (REQUESTS["train"].hours + 1) * 3600
        assert [claim["mountPath"] for claim in compiled.pods[task]["pvcMount"]] == ["/work"]
        assert parameters["params"] == {"componentInputParameter": "train"}
        asked = Job.model_validate(parameters["job"]["runtimeValue"]["constant"])
        assert (asked.num_nodes, asked.gpus_per_node, asked.processes) == (2, 4, 8)


def test_the_number_of_machines_is_a_parameter(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text((ROOT / "params.yaml").read_text() + "kubernetes: {num_nodes: 2}\n")
    assert kubernetes_settings(file).trains_by_job
    assert not kubernetes_settings(ROOT / "params.yaml").trains_by_job


def test_several_gpus_of_one_machine_are_a_job_too() -> None:
    assert Compiled(gpus_per_node=2).with_gpu() == {"start", "features", "fit"}


def test_the_stage_and_the_job_agree_about_the_inputs() -> None:
    from longtail.stages import train

    assert [name for name, kind in artifacts(train.run).items() if kind == "input"] == list(INPUTS)
