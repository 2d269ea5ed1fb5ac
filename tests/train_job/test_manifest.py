"""The TrainJob fits its schema, and asks for what one machine would, for each."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from job_example import JOB, ROOT, SETTINGS, Tree, pod, through_schema

from components.images import CUDA
from longtail.train_job import launcher
from longtail.train_job.manifest import manifest
from pipelines.resources import GPU, REQUESTS, Request
from pipelines.training import job


def example() -> Tree:
    words = ["-m", "longtail", "train"]
    return manifest("longtail-train-0", JOB, "somebody", Path("/work"), words, {"LONGTAIL_WORK": "/work"})


def test_the_manifest_fits_the_schema_of_the_api() -> None:
    assert through_schema(example()) == example()


@pytest.mark.parametrize(
    "where",
    [
        ("spec",),
        ("spec", "trainer"),
        ("spec", "trainer", "env", 0),
        ("spec", "runtimePatches", 0),
        ("spec", "runtimePatches", 0, "trainingRuntimeSpec", "template", "spec", "replicatedJobs", 0),
    ],
)
def test_a_field_that_the_api_does_not_know_would_be_found(where: tuple[str | int, ...]) -> None:
    wrong = copy.deepcopy(example())
    part: Any = wrong
    for key in where:
        part = part[key]
    part["nodes"] = 2
    assert through_schema(wrong) == example()
    assert wrong != example()


def test_every_machine_asks_for_what_one_would_and_is_as_hardened() -> None:
    trainer, spec = example()["spec"]["trainer"], pod(example())["spec"]
    asked = {"cpu": REQUESTS["train"].cpu, "memory": REQUESTS["train"].memory, GPU: "1"}
    assert trainer["resourcesPerNode"] == {"requests": asked, "limits": asked}
    assert (trainer["image"], trainer["numNodes"], trainer["numProcPerNode"]) == (CUDA, 2, 1)
    assert spec["serviceAccountName"] == "somebody"
    assert spec["securityContext"]["runAsUser"] == 1000
    assert spec["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert spec["nodeSelector"] == SETTINGS.gpu_nodes
    assert spec["tolerations"][0]["key"] == GPU
    mounts = {mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]}
    assert mounts == {"/work", "/tmp", "/dev/shm"}
    assert example()["spec"]["activeDeadlineSeconds"] == 48 * 3600


def test_secrets_are_referred_to_and_never_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "do-not-tell")
        assert name not in launcher.PASSED
    by_name = {one["name"]: one for one in example()["spec"]["trainer"]["env"]}
    assert by_name["MLFLOW_TRACKING_PASSWORD"]["valueFrom"] == {
        "secretKeyRef": {"name": "longtail-mlflow", "key": "MLFLOW_TRACKING_PASSWORD"}
    }
    assert {name for name, one in by_name.items() if "value" in one} == {"LONGTAIL_WORK", "OMP_NUM_THREADS"}


@pytest.mark.parametrize(("cpu", "gpus", "threads"), [("8", 1, "8"), ("32", 4, "8"), ("2", 4, "1")])
def test_the_processes_of_a_machine_share_its_cpus(cpu: str, gpus: int, threads: str) -> None:
    settings = SETTINGS.model_copy(update={"gpus_per_node": gpus, "requests": {"train": Request(cpu=cpu)}})
    asked = manifest("name", job(settings), "somebody", Path("/work"), [], {})
    assert {"name": "OMP_NUM_THREADS", "value": threads} in asked["spec"]["trainer"]["env"]


def test_the_network_policy_knows_the_jobs_pods() -> None:
    (policy,) = yaml.safe_load_all((ROOT / "infra/base/pipeline/network.yaml").read_text())
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= pod(example())["metadata"]["labels"].items()
