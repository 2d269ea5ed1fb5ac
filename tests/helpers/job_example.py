"""A training job of two machines as the pipeline asks for it, and what its tests have in common."""

from pathlib import Path
from typing import Any

import pytest
from kubeflow_trainer_api.models import TrainerV1alpha1TrainJob
from tiny import PARAMETERS
from trainer_stub import Trainer

from longtail.errors import DataError
from longtail.train_job import launcher
from longtail.train_job.launcher import launch
from pipelines.resources import Kubernetes
from pipelines.training import job

ROOT = Path(__file__).parents[2]
POLL = 0.2  # seconds
INPUTS = ("dataset", "split", "previous", "quintuplets")
SETTINGS = Kubernetes(num_nodes=2, image_pull_secrets=["longtail-registry"], cpu_nodes={"pool": "cpu"})
JOB = job(SETTINGS).model_copy(update={"threads": 1})  # as all other tests have: they decide the last bits
# What the job refers to; the tracking server's address is replaced where a test looks at it.
KNOWN = {
    "longtail-settings": dict.fromkeys(JOB.config_maps["longtail-settings"], "http://127.0.0.1:9"),
    "longtail-s3": dict.fromkeys(JOB.secrets["longtail-s3"], "s3-password"),
    "longtail-mlflow": dict.fromkeys(JOB.secrets["longtail-mlflow"], "mlflow-password"),
}
# In place of the stage: a container that dies without a word of the stage's.
DIES = ["--no-python", "sh", "-c", "echo last words; exit 3"]

Tree = dict[str, Any]


def through_schema(job: Tree) -> Tree:
    """The job as the API's own types give it back: they leave out what they do not know."""
    read = TrainerV1alpha1TrainJob.from_dict(job)
    assert read is not None
    return read.to_dict()


def pod(one: Tree) -> Tree:
    """The part of the runtime's pod that the job sets."""
    (patch,) = one["spec"]["runtimePatches"]
    (node,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    assert node["name"] == "node"
    found: Tree = node["template"]["spec"]["template"]
    return found


def section(**changes: Any) -> Tree:
    return {**PARAMETERS["train"], **changes}


def breaking(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.setattr(launcher, "_command", lambda *_: arguments)


def failing(inputs: dict[str, Path], model: Path, trainer: Trainer, **changes: Any) -> str:
    """The sentence of a step that fails; it leaves no model, whole or not."""
    with pytest.raises(DataError) as error:
        launch(inputs, model, section(**changes), JOB, trainer.cluster(), POLL)
    assert not model.parent.exists() or list(model.parent.iterdir()) == []
    assert "\n" not in str(error.value)
    return str(error.value)
