"""The stages' `run`, the components, dvc.yaml and the compiled pipeline agree: names, types, order and resources."""

import inspect
import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from compiled import ROUNDS, Compiled, Tree, compiled, kinds, step, types
from kfp.compiler import Compiler
from pydantic import ValidationError

import components
from components import images
from components.images import CPU, CUDA
from longtail.stages import STAGES
from pipelines.arguments import IN_ROUNDS
from pipelines.graph import specification, tasks
from pipelines.lmle import lmle
from pipelines.resources import GPU, REQUESTS, WORK, Kubernetes

ROOT = Path(__file__).parents[2]
# The steps of each pipeline.
STEPS = {
    "lmle": [stage for stage in STAGES if stage not in ("ingest", "fit")],
    "classifier": [stage for stage in STAGES if stage not in ("ingest", *IN_ROUNDS)],
}
TORCH = {"start", "train", "fit"}
EITHER = pytest.mark.parametrize("name", STEPS)
# What a component adds for the dashboard.
SHOWN = {"metrics": "Metrics"}
SHOWN_BY_EVALUATE = {"confusion": "ClassificationMetrics", "page": "HTML"}


@pytest.fixture(scope="module")
def default() -> Compiled:
    return compiled("lmle")


@pytest.mark.parametrize(("name", "stage"), [(name, stage) for name, stages in STEPS.items() for stage in stages])
def test_a_component_has_the_artifacts_of_its_stage(name: str, stage: str) -> None:
    component = compiled(name).component(stage)
    shown = SHOWN | (SHOWN_BY_EVALUATE if stage == "evaluate" else {})
    assert types(component.get("inputDefinitions", {})) == kinds(stage, "input")
    assert types(component["outputDefinitions"]) == kinds(stage, "output") | shown
    assert component["inputDefinitions"]["parameters"] == {"params": {"parameterType": "STRUCT"}}


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "ingest"])
def test_a_component_hands_its_stage_every_artifact(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its body, run here with paths instead of containers, calls the stage of its name with all that `run` takes."""
    component = getattr(components, stage)
    given: Tree = {}

    def execute_component(name: str, paths: dict[str, str], section: Tree, record: str, *_: Any) -> dict[str, float]:
        given.update(name=name, paths=paths, section=section, record=record)
        raise InterruptedError

    class Artifact:
        def __init__(self, name: str) -> None:
            self.path = f"/{name}"

    names = [name for name in inspect.signature(component.python_func).parameters if name != "params"]
    monkeypatch.setattr("longtail.execution.execute_component", execute_component)
    with pytest.raises(InterruptedError):
        component.python_func(params={"seed": 1}, **{name: Artifact(name) for name in names})
    expected = {name: f"/{name}" for name in {**kinds(stage, "input"), **kinds(stage, "output")}}
    assert given == {"name": stage, "paths": expected, "section": {"seed": 1}, "record": "/metrics"}


def test_the_pipeline_has_every_step_and_every_round(default: Compiled) -> None:
    expected = [f"{name}-{number}" if number > 1 else name for number in range(1, ROUNDS + 1) for name in IN_ROUNDS]
    assert sorted(default.tasks) == sorted([*expected, *(name for name in STEPS["lmle"] if name not in IN_ROUNDS)])


def test_the_pipeline_without_rounds_has_every_step() -> None:
    assert sorted(compiled("classifier").tasks) == sorted(STEPS["classifier"])


@EITHER
def test_every_step_gets_its_own_section(name: str) -> None:
    assert set(compiled(name).spec["root"]["inputDefinitions"]["parameters"]) == set(STEPS[name])
    for of_task, task in compiled(name).tasks.items():
        assert task["inputs"]["parameters"] == {"params": {"componentInputParameter": step(of_task)}}


@EITHER
def test_artifacts_flow_as_in_dvc_yaml(name: str) -> None:
    """Which task makes what a task reads: as the paths of dvc.yaml say, with `fetch` in the place of `ingest`."""
    assert {task: sources(found) for task, found in compiled(name).tasks.items()} == dvc_sources(name)


def sources(task: Tree) -> dict[str, str]:
    """For every input of a task the task that makes it."""
    found = task["inputs"].get("artifacts", {})
    return {name: entry["taskOutputArtifact"]["producerTask"] for name, entry in found.items()}


def dvc_sources(pipeline: str) -> dict[str, dict[str, str]]:
    """The same from dvc.yaml, for as many rounds as the compiled pipeline has, or for a classifier."""
    commands: dict[str, dict[str, str]] = {}
    for stage, definition in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items():
        if stage not in (*STEPS[pipeline], "ingest"):
            continue
        looped = stage in IN_ROUNDS
        for number in range(1, ROUNDS + 1) if looped else [1]:
            task = f"{stage}-{number}" if number > 1 else stage
            text = definition.get("do", definition)["cmd"]
            for name, value in {
                "key": f"r{number}",
                "item.after": f"r{number - 1}",
                "item": "crl",
                "evaluated": "crl" if pipeline == "classifier" else f"r{ROUNDS}",
            }.items():
                text = text.replace(f"${{{name}}}", value)
            words = shlex.split(text)[2:]
            commands[task.replace("ingest", "fetch")] = {
                flag.removeprefix("--"): path for flag, path in zip(words[::2], words[1::2], strict=True)
            }
    makers = {
        paths[name]: task
        for task, paths in commands.items()
        for name in kinds(step(task) if task != "fetch" else "ingest", "output")
    }
    return {
        task: {name: makers[paths[name]] for name in (kinds(step(task), "input") if task != "fetch" else {})}
        for task, paths in commands.items()
    }


@EITHER
def test_by_default_exactly_the_torch_steps_ask_for_a_gpu(name: str) -> None:
    assert compiled(name).with_gpu() == TORCH & {*STEPS[name]}
    for task, container in compiled(name).containers.items():
        assert container["image"] == (CUDA if step(task) in TORCH else CPU)
        if "accelerator" in container["resources"]:
            assert container["resources"]["accelerator"]["resourceType"] == GPU
            assert container["resources"]["accelerator"]["resourceCount"] == "1"


def test_one_setting_gives_quintuplets_a_gpu_and_the_image_for_it() -> None:
    compiled = Compiled(quintuplets_on_gpu=True)
    assert compiled.with_gpu() == {"start", "quintuplets", "train"}
    assert compiled.containers["quintuplets-2"]["image"] == CUDA


def test_one_setting_has_every_table_built_by_several_pods() -> None:
    compiled = Compiled(quintuplets_pods=2, quintuplets_on_gpu=True)
    for number in range(ROUNDS):
        pods = [f"quintuplets-part-{2 * number + pod}".removesuffix("-1") for pod in (1, 2)]
        merging = f"quintuplets-{number + 1}".removesuffix("-1")
        assert set(pods) <= set(compiled.tasks[merging]["dependentTasks"])
        for share, pod in enumerate(pods):
            given = compiled.tasks[pod]["inputs"]["parameters"]
            constants = {name: given[name]["runtimeValue"]["constant"] for name in ("number", "of")}
            assert constants == {"number": share, "of": 2}
            assert given["params"] == {"componentInputParameter": "quintuplets"}
            assert sources(compiled.tasks[pod]) == sources(compiled.tasks[merging])
            for kind in ("image", "resources"):
                assert compiled.containers[pod][kind] == compiled.containers[merging][kind]
            assert compiled.pods[pod]["pvcMount"] == compiled.pods[merging]["pvcMount"]


def test_every_step_runs_on_the_gpu_pool_by_default(default: Compiled) -> None:
    for pod in default.pods.values():
        assert pod["nodeSelector"] == {"labels": {"nvidia.com/gpu.present": "true"}}
        assert pod["tolerations"] == [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}]


def test_one_setting_moves_the_torch_free_steps_elsewhere() -> None:
    compiled = Compiled(cpu_nodes={"pool": "cpu"}, quintuplets_on_gpu=True)
    for task, pod in compiled.pods.items():
        on_gpu = step(task) in ("start", "quintuplets", "train")
        assert pod["nodeSelector"]["labels"] == ({"nvidia.com/gpu.present": "true"} if on_gpu else {"pool": "cpu"})
        assert ("tolerations" in pod) == on_gpu


@EITHER
def test_every_step_is_bounded_retried_and_not_root(name: str) -> None:
    default = compiled(name)
    for task, pod in default.pods.items():
        request, resources = REQUESTS[step(task)], default.containers[task]["resources"]
        assert resources["resourceCpuRequest"] == resources["resourceCpuLimit"] == request.cpu
        assert resources["resourceMemoryRequest"] == resources["resourceMemoryLimit"] == request.memory
        assert int(pod["activeDeadlineSeconds"]) == request.hours * 3600
        assert default.tasks[task]["retryPolicy"]["maxRetryCount"] == 2
        assert default.tasks[task]["retryPolicy"]["backoffFactor"] == 2.0
        assert pod["securityContext"] == {"runAsUser": "1000", "runAsGroup": "1000", "runAsNonRoot": True}


@pytest.mark.parametrize(("cpu", "threads"), [("8", "8"), ("1.5", "1"), ("500m", "1"), ("3500m", "3")])
def test_a_step_has_as_many_threads_as_cpus(cpu: str, threads: str) -> None:
    compiled = Compiled(requests={"cluster": {"cpu": cpu}})
    assert {"name": "OMP_NUM_THREADS", "value": threads} in compiled.containers["cluster"]["env"]
    assert {"name": "OMP_NUM_THREADS", "value": REQUESTS["index"].cpu} in compiled.containers["index"]["env"]


def test_an_amount_of_cpu_that_kubernetes_does_not_know_is_refused() -> None:
    with pytest.raises(ValidationError, match="cpu"):
        Compiled(requests={"cluster": {"cpu": "eight"}})


def test_the_parts_of_a_table_are_listed_before_it_in_their_order() -> None:
    listed = [task.step for task in tasks(specification(lmle(2, Kubernetes(quintuplets_pods=11))))]
    parts = [f"quintuplets.part{number}@r1" for number in range(1, 12)]
    assert listed[3:16] == ["cluster@r1", *parts, "quintuplets@r1"]


@EITHER
def test_every_step_has_its_credentials_from_secrets_and_knows_its_execution(name: str) -> None:
    default = compiled(name)
    for task, pod in default.pods.items():
        assert [secret["secretName"] for secret in pod["secretAsEnv"]] == ["longtail-s3", "longtail-mlflow"]
        assert [settings["configMapName"] for settings in pod["configMapAsEnv"]] == ["longtail-settings"]
        assert pod["fieldPathAsEnv"] == [
            {"name": "LONGTAIL_EXECUTION", "fieldPath": "metadata.labels['pipeline/runid']"}
        ]
        assert pod["podMetadata"]["labels"] == {"app.kubernetes.io/part-of": "longtail"}
        number = task.partition("-")[2] or "1"
        shown = f"{step(task)}@r{number}" if step(task) in IN_ROUNDS else task
        assert {"name": "LONGTAIL_STEP", "value": shown} in default.containers[task]["env"]


@EITHER
def test_every_step_has_the_volume_and_those_that_train_shared_memory(name: str) -> None:
    default = compiled(name)
    for task, pod in default.pods.items():
        assert {"name": "LONGTAIL_WORK", "value": WORK} in default.containers[task]["env"]
        assert [claim["mountPath"] for claim in pod["pvcMount"]] == [WORK]
        shared = [mount.get("medium") for mount in pod["emptyDirMounts"] if mount["mountPath"] == "/dev/shm"]
        assert shared == (["Memory"] if step(task) in TORCH else [])


def test_image_pull_secrets_reach_every_pod() -> None:
    for pod in Compiled(image_pull_secrets=["longtail-registry"]).pods.values():
        assert [secret["secretName"] for secret in pod["imagePullSecret"]] == ["longtail-registry"]


def test_nothing_is_installed_when_a_step_runs(default: Compiled) -> None:
    for container in default.containers.values():
        assert "pip install" not in " ".join(container["command"])


def test_a_cluster_gets_the_images_that_were_pushed_and_this_machine_those_that_were_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = {kind: f"registry.example/team/longtail-{kind}@sha256:{'0' * 64}" for kind in ("cpu", "cuda")}
    (tmp_path / "images.json").write_text(json.dumps(digests))
    monkeypatch.setattr(images, "PUSHED", tmp_path / "images.json")
    for task, container in Compiled().containers.items():
        assert container["image"] == digests["cuda" if step(task) in ("start", "train") else "cpu"]
    Compiler().compile(lmle(1, settings=None), str(tmp_path / "here.yaml"))
    executors = yaml.safe_load((tmp_path / "here.yaml").read_text())["deploymentSpec"]["executors"]
    assert {executor["container"]["image"] for executor in executors.values()} == {CPU, CUDA}
