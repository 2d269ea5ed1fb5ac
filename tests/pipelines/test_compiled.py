"""The stages' `run`, the components, dvc.yaml and the compiled pipeline agree: names, types, order and resources."""

import inspect
import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from compiled import DECLARED, Compiled, Tree, compiled, kinds, stage_of, trainings, types
from kfp.compiler import Compiler
from pydantic import ValidationError

import components
from components import images
from components.images import CPU, CUDA
from longtail.errors import DataError
from longtail.stages import IN_ROUNDS, NAMED, STAGES
from pipelines.graph import behind, specification, tasks
from pipelines.pipeline import pipeline
from pipelines.resources import GPU, REQUESTS, WORK, Kubernetes

ROOT = Path(__file__).parents[2]
STEPS = [stage for stage in STAGES if stage != "ingest"]
TORCH = {"start", "features", "fit", "train"}
MODELS = DECLARED["evaluate"]["models"]
WITHOUT_ROUNDS: Tree = {
    "features": {},
    "rounds": {},
    "fits": {"crl": {"after": "start"}},
    "evaluate": {"models": ["crl"]},
}
# What a component adds for the dashboard.
SHOWN = {"metrics": "Metrics"}
SHOWN_BY_EVALUATE = {"confusion": "ClassificationMetrics", "page": "HTML"}


@pytest.fixture(scope="module")
def default() -> Compiled:
    return compiled()


def inputs(stage: str) -> dict[str, str]:
    """What a component takes: of a directory of artifacts each for itself."""
    found = kinds(stage, "input", "weights")
    if stage == "evaluate":
        found |= {f"index_{number}": "Model" for number in range(1, len(MODELS) + 1)}
    return found


@pytest.mark.parametrize("stage", STEPS)
def test_a_component_has_the_artifacts_of_its_stage(stage: str, default: Compiled) -> None:
    for component in (default.component(step) for step in default.tasks if stage_of(step) == stage):
        shown = SHOWN | (SHOWN_BY_EVALUATE if stage == "evaluate" else {})
        assert types(component.get("inputDefinitions", {})) == inputs(stage)
        assert types(component["outputDefinitions"]) == kinds(stage, "output") | shown
        names = {"models": {"parameterType": "LIST"}} if stage == "evaluate" else {}
        assert component["inputDefinitions"]["parameters"] == {"params": {"parameterType": "STRUCT"}} | names


@pytest.mark.parametrize("stage", STEPS)
def test_a_component_hands_its_stage_every_artifact(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its body, run here with paths instead of containers, calls the stage of its name with all that `run` takes."""
    component = components.evaluate(len(MODELS)) if stage == "evaluate" else getattr(components, stage)
    section = {"models": MODELS}
    given: Tree = {}

    def execute_component(name: str, paths: dict[str, str], section: Tree, record: str, *_: Any) -> dict[str, float]:
        folder = paths.get("indexes")
        indexes = {model: str((Path(folder) / model).readlink()) for model in MODELS} if folder else {}
        given.update(name=name, paths=paths, section=section, record=record, indexes=indexes)
        raise InterruptedError

    class Artifact:
        def __init__(self, name: str) -> None:
            self.path = f"/{name}"

    named = {"models": MODELS} if stage == "evaluate" else {}
    names = inspect.signature(component.python_func).parameters.keys() - {"params", *named}
    monkeypatch.setattr("longtail.execution.execute_component", execute_component)
    with pytest.raises(InterruptedError):
        component.python_func(params=section, **named, **{name: Artifact(name) for name in names})
    expected = {name: f"/{name}" for name in kinds(stage, "input", "weights", "output")}
    indexes = {model: f"/index_{number}" for number, model in enumerate(MODELS, 1)} if stage == "evaluate" else {}
    assert {name: path for name, path in given.pop("paths").items() if name != "indexes"} == expected
    assert given == {"name": stage, "section": section, "record": "/metrics", "indexes": indexes}


def test_the_pipeline_has_every_training_and_the_steps_that_dvc_has(default: Compiled) -> None:
    expected = {"fetch", "split", "start", "evaluate"}
    expected |= {f"fit@{name}" for name in DECLARED["fits"]} | {f"features@{name}" for name in DECLARED["features"]}
    expected |= {f"{stage}@{name}" for stage in IN_ROUNDS for name in DECLARED["rounds"]}
    expected |= {f"index@{name}" for name in MODELS}
    assert set(default.tasks) == expected == set(dvc_commands())


def test_without_rounds_the_pipeline_has_neither_their_steps_nor_their_parameters() -> None:
    alone = compiled(**WITHOUT_ROUNDS)
    assert set(alone.tasks) == {"fetch", "split", "start", "fit@crl", "index@crl", "evaluate"}
    parameters = {"fetch", "split", "start", "fit_crl", "index", "evaluate"}
    assert set(alone.spec["root"]["inputDefinitions"]["parameters"]) == parameters


def test_every_step_gets_its_own_section_and_every_training_of_fits_its_own(default: Compiled) -> None:
    for step, task in default.tasks.items():
        stage, _, name = step.partition("@")
        section = f"{stage}_{name}" if stage in NAMED else stage
        names = {"models": {"runtimeValue": {"constant": MODELS}}} if stage == "evaluate" else {}
        assert task["inputs"]["parameters"] == {"params": {"componentInputParameter": section}} | names


def test_artifacts_flow_as_in_dvc_yaml(default: Compiled) -> None:
    """Which step makes what a step reads: as the paths of dvc.yaml say, with `fetch` in the place of `ingest`."""
    assert {step: default.sources(step) for step in default.tasks} == dvc_sources()


def dvc_commands() -> dict[str, dict[str, str]]:
    """The options of every command of dvc.yaml, by step, for the trainings that the compiled pipeline has."""
    values: Tree = {"data": "data", **DECLARED}
    commands: dict[str, dict[str, str]] = {}
    for stage, definition in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items():
        looped: Any = values
        for part in definition.get("foreach", "").removeprefix("${").removesuffix("}").split("."):
            looped = looped.get(part, {"": {}}) if isinstance(looped, dict) else looped
        for key in looped:
            text = definition.get("do", definition)["cmd"].replace("${key}", key).replace("${item}", key)
            if isinstance(looped, dict):
                for word in ("after", "on"):
                    text = text.replace(f"${{item.{word}}}", looped[key].get(word, ""))
            words = shlex.split(text)[2:]
            options = {flag.removeprefix("--"): path for flag, path in zip(words[::2], words[1::2], strict=True)}
            step = stage.replace("ingest", "fetch")
            commands[f"{step}@{key}" if key else step] = options
    return commands


def dvc_sources() -> dict[str, dict[str, str]]:
    """For every input of a step of dvc.yaml the step that makes it; of a directory each that is in it."""
    commands = dvc_commands()
    makers = {
        options[name]: step
        for step, options in commands.items()
        for name in kinds("ingest" if step == "fetch" else stage_of(step), "output")
    }
    found: dict[str, dict[str, str]] = {}
    for step, options in commands.items():
        read = kinds(stage_of(step), "input", "weights") if step != "fetch" else {}
        found[step] = {name: makers[options[name]] for name in read}
        if "indexes" in options:
            paths = [f"{options['indexes']}/{model}" for model in MODELS]
            found[step] |= {f"index_{number}": makers[path] for number, path in enumerate(paths, 1)}
    return found


def test_what_comes_of_rounds_is_known() -> None:
    spec = specification(pipeline(trainings(), Kubernetes()))
    steps = {task.name: task.step for task in tasks(spec)}
    found = {steps[name] for name in behind(spec, "train")}
    later = {"train@r1", "cluster@r2", "quintuplets@r2", "train@r2", "fit@crt", "index@r2", "index@crt", "evaluate"}
    assert found == later


def test_steps_are_listed_behind_those_that_they_need(default: Compiled) -> None:
    listed = [task.step for task in tasks(default.spec)]
    for step in listed:
        assert all(listed.index(before) < listed.index(step) for before in default.sources(step).values())
    assert listed[:3] == ["fetch", "split", "start"]
    assert listed[-1] == "evaluate"


def test_several_machines_are_for_rounds() -> None:
    with pytest.raises(DataError, match="`fit` trains on one GPU"):
        pipeline(trainings(**WITHOUT_ROUNDS), Kubernetes(num_nodes=2))


def test_by_default_exactly_the_torch_steps_ask_for_a_gpu(default: Compiled) -> None:
    assert default.with_gpu() == TORCH
    for step, container in default.containers.items():
        assert container["image"] == (CUDA if stage_of(step) in TORCH else CPU)
        if "accelerator" in container["resources"]:
            assert container["resources"]["accelerator"]["resourceType"] == GPU
            assert container["resources"]["accelerator"]["resourceCount"] == "1"


def test_one_setting_gives_quintuplets_a_gpu_and_the_image_for_it() -> None:
    compiled = Compiled(quintuplets_on_gpu=True)
    assert compiled.with_gpu() == {*TORCH, "quintuplets"}
    assert compiled.containers["quintuplets@r2"]["image"] == CUDA


def test_one_setting_has_every_table_built_by_several_pods() -> None:
    compiled = Compiled(quintuplets_pods=2, quintuplets_on_gpu=True)
    for name in DECLARED["rounds"]:
        merging = f"quintuplets@{name}"
        pods = [f"quintuplets.part{pod}@{name}" for pod in (1, 2)]
        assert {compiled.names[pod] for pod in pods} <= set(compiled.tasks[merging]["dependentTasks"])
        for share, pod in enumerate(pods):
            given = compiled.tasks[pod]["inputs"]["parameters"]
            constants = {name: given[name]["runtimeValue"]["constant"] for name in ("number", "of")}
            assert constants == {"number": share, "of": 2}
            assert given["params"] == {"componentInputParameter": "quintuplets"}
            assert compiled.sources(pod) == compiled.sources(merging)
            for kind in ("image", "resources"):
                assert compiled.containers[pod][kind] == compiled.containers[merging][kind]
            assert compiled.pods[pod]["pvcMount"] == compiled.pods[merging]["pvcMount"]


def test_every_step_runs_on_the_gpu_pool_by_default(default: Compiled) -> None:
    for pod in default.pods.values():
        assert pod["nodeSelector"] == {"labels": {"nvidia.com/gpu.present": "true"}}
        assert pod["tolerations"] == [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}]


def test_one_setting_moves_the_torch_free_steps_elsewhere() -> None:
    compiled = Compiled(cpu_nodes={"pool": "cpu"}, quintuplets_on_gpu=True)
    for step, pod in compiled.pods.items():
        on_gpu = stage_of(step) in {*TORCH, "quintuplets"}
        assert pod["nodeSelector"]["labels"] == ({"nvidia.com/gpu.present": "true"} if on_gpu else {"pool": "cpu"})
        assert ("tolerations" in pod) == on_gpu


def test_every_step_is_bounded_retried_and_not_root(default: Compiled) -> None:
    for step, pod in default.pods.items():
        request, resources = REQUESTS[stage_of(step)], default.containers[step]["resources"]
        assert resources["resourceCpuRequest"] == resources["resourceCpuLimit"] == request.cpu
        assert resources["resourceMemoryRequest"] == resources["resourceMemoryLimit"] == request.memory
        assert int(pod["activeDeadlineSeconds"]) == request.hours * 3600
        assert default.tasks[step]["retryPolicy"]["maxRetryCount"] == 2
        assert default.tasks[step]["retryPolicy"]["backoffFactor"] == 2.0
        assert pod["securityContext"] == {"runAsUser": "1000", "runAsGroup": "1000", "runAsNonRoot": True}


@pytest.mark.parametrize(("cpu", "threads"), [("8", "8"), ("1.5", "1"), ("500m", "1"), ("3500m", "3")])
def test_a_step_has_as_many_threads_as_cpus(cpu: str, threads: str) -> None:
    compiled = Compiled(requests={"cluster": {"cpu": cpu}})
    assert {"name": "OMP_NUM_THREADS", "value": threads} in compiled.containers["cluster@r1"]["env"]
    assert {"name": "OMP_NUM_THREADS", "value": REQUESTS["index"].cpu} in compiled.containers["index@r2"]["env"]


def test_an_amount_of_cpu_that_kubernetes_does_not_know_is_refused() -> None:
    with pytest.raises(ValidationError, match="cpu"):
        Compiled(requests={"cluster": {"cpu": "eight"}})


def test_the_parts_of_a_table_are_listed_before_it_in_their_order() -> None:
    settings = Kubernetes(quintuplets_pods=11)
    listed = [task.step for task in tasks(specification(pipeline(trainings(), settings)))]
    parts = [f"quintuplets.part{number}@r1" for number in range(1, 12)]
    first = listed.index("cluster@r1")
    assert listed[first : first + 13] == ["cluster@r1", *parts, "quintuplets@r1"]


def test_every_step_has_its_credentials_from_secrets_and_knows_its_execution(default: Compiled) -> None:
    for step, pod in default.pods.items():
        assert [secret["secretName"] for secret in pod["secretAsEnv"]] == ["longtail-s3", "longtail-mlflow"]
        assert [settings["configMapName"] for settings in pod["configMapAsEnv"]] == ["longtail-settings"]
        assert pod["fieldPathAsEnv"] == [
            {"name": "LONGTAIL_EXECUTION", "fieldPath": "metadata.labels['pipeline/runid']"}
        ]
        assert pod["podMetadata"]["labels"] == {"app.kubernetes.io/part-of": "longtail"}
        assert {"name": "LONGTAIL_STEP", "value": step} in default.containers[step]["env"]


def test_every_step_has_the_volume_and_those_that_train_shared_memory(default: Compiled) -> None:
    for step, pod in default.pods.items():
        assert {"name": "LONGTAIL_WORK", "value": WORK} in default.containers[step]["env"]
        assert [claim["mountPath"] for claim in pod["pvcMount"]] == [WORK]
        shared = [mount.get("medium") for mount in pod["emptyDirMounts"] if mount["mountPath"] == "/dev/shm"]
        assert shared == (["Memory"] if stage_of(step) in TORCH else [])


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
    for step, container in Compiled().containers.items():
        assert container["image"] == digests["cuda" if stage_of(step) in TORCH else "cpu"]
    Compiler().compile(pipeline(trainings(), settings=None), str(tmp_path / "here.yaml"))
    executors = yaml.safe_load((tmp_path / "here.yaml").read_text())["deploymentSpec"]["executors"]
    assert {executor["container"]["image"] for executor in executors.values()} == {CPU, CUDA}
