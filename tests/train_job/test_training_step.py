"""The component, and the pipeline in which it takes the place of `train`."""

import json
from pathlib import Path

import pytest
from job_example import INPUTS, JOB, ROOT, Tree, section
from mlflow_server import make_database
from test_distributed import logged_steps
from test_pipeline import Compiled, kinds, step, types
from trainer_stub import Trainer

import components
from components.images import CUDA
from longtail.stages.contract import artifacts
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


def test_a_component_that_fails_ends_with_a_sentence_and_ends_the_pipelines_run(
    tmp_path: Path, inputs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fails here because there is no cluster."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.delenv("LONGTAIL_TRACKING")
    make_database(tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("LONGTAIL_STEP", "train@r1")
    monkeypatch.chdir(tmp_path)
    paths = {name: str(path) for name, path in inputs.items()}
    with pytest.raises(SystemExit, match="error: training on several machines needs a pod of a cluster"):
        launcher.launch_component(paths, str(tmp_path / "model"), section(), JOB.model_dump(), str(tmp_path / "record"))
    assert logged_steps(tmp_path) == ["train@r1"]
    with pytest.raises(SystemExit, match=r"error: the pipeline's arguments: job\.nodes is not a parameter"):
        launcher.launch_component(paths, "model", section(), {**JOB.model_dump(), "nodes": 2}, "record")


@pytest.fixture(scope="module")
def compiled() -> Compiled:
    return Compiled(num_nodes=2, gpus_per_node=4)


def test_one_setting_changes_the_training_step_and_nothing_else(compiled: Compiled) -> None:
    default = Compiled()
    assert set(compiled.tasks) == set(default.tasks)
    for task in compiled.tasks:
        if step(task) == "train":
            continue
        assert compiled.tasks[task] == default.tasks[task]
        assert compiled.pods[task] == default.pods[task]
        assert compiled.containers[task]["resources"] == default.containers[task]["resources"]


def test_the_training_step_has_the_artifacts_of_its_stage_and_asks_for_no_gpu(compiled: Compiled) -> None:
    assert compiled.with_gpu() == {"start"}
    component = compiled.component("train-2")
    assert types(component["inputDefinitions"]) == kinds("train", "input")
    assert types(component["outputDefinitions"]) == kinds("train", "output") | {"metrics": "Metrics"}
    for task in ("train", "train-2", "train-3"):
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
    assert Compiled(gpus_per_node=2).with_gpu() == {"start"}


def test_the_stage_and_the_job_agree_about_the_inputs() -> None:
    from longtail.stages import train

    assert [name for name, kind in artifacts(train.run).items() if kind == "input"] == list(INPUTS)
