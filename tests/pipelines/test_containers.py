"""The images, and the pipeline with one container a step. Needs Docker and what `make images` builds."""

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from s3_server import CREDENTIALS, S3Server
from same_results import EVERY_STEP, assert_same_results
from workspace import Workspace

from components.images import CPU, CUDA

pytestmark = [pytest.mark.docker, pytest.mark.slow]
IMAGES = {"cpu": CPU, "cuda": CUDA}


def inside(engine: Any, image: str, *command: str, **options: Any) -> str:
    """What a command prints in a container as hardened as the pipeline's."""
    hardened = {"read_only": True, "tmpfs": {"/tmp": "mode=1777"}, "cap_drop": ["ALL"], "remove": True}
    output: bytes = engine.containers.run(image, list(command), **hardened, **options)
    return output.decode()


@pytest.mark.parametrize("kind", IMAGES)
def test_an_image_is_what_a_cluster_wants(kind: str, engine: Any) -> None:
    image = engine.images.get(IMAGES[kind])
    config = image.attrs["Config"]
    assert not config["Entrypoint"]
    assert config["User"] == "1000:1000"
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()}
    assert labels["title"] == f"longtail-{kind}"
    assert labels["licenses"] == "Apache-2.0"
    assert labels["revision"]


def test_the_torch_free_image_is_small_and_torch_free(engine: Any) -> None:
    assert engine.images.get(CPU).attrs["Size"] < 700e6
    program = "import importlib.util as u; print(*[n for n in ('torch', 'torchvision', 'dvc') if u.find_spec(n)])"
    assert inside(engine, CPU, "python", "-c", program).strip() == ""


@pytest.mark.parametrize("kind", IMAGES)
def test_an_image_holds_no_build_tools(kind: str, engine: Any) -> None:
    found = inside(engine, IMAGES[kind], "sh", "-c", "for t in gcc cc make git uv; do command -v $t; done; true")
    assert found.strip() == ""
    assert inside(engine, IMAGES[kind], "sh", "-c", "ls /build /opt/tools /run/secrets 2>/dev/null; true").strip() == ""


@pytest.mark.parametrize("kind", IMAGES)
def test_a_step_runs_on_a_read_only_root(kind: str, engine: Any) -> None:
    step = "train" if kind == "cuda" else "evaluate"
    assert "--split" in inside(engine, IMAGES[kind], "python", "-m", "longtail", step, "--help")
    assert inside(engine, IMAGES[kind], "id", "-u").strip() == "1000"


def test_pretrained_weights_are_in_the_image_and_need_no_network(engine: Any) -> None:
    program = (
        "from longtail.network.backbones import build_backbone as build; from longtail.network import pretrained;"
        "name = 'timm/tf_efficientnet_lite0'; backbone, length = build(name, (224, 224, 3));"
        "backbone.take(pretrained.imagenet_weights(name, backbone.body)); print(length)"
    )
    assert inside(engine, CUDA, "python", "-c", program, network_disabled=True).strip().endswith("1280")


def test_containers_give_the_results_of_dvc(engine: Any, tmp_path: Path) -> None:
    """The data come from an S3 server by `fetch`, each step runs in its own container, tracked out here."""
    workspace, server = Workspace(tmp_path), S3Server()
    try:
        server.reset()
        workspace.environment |= CREDENTIALS
        workspace.repro()
        workspace.dvc("remote", "add", "--default", "store", "s3://data/longtail")
        workspace.dvc("remote", "modify", "store", "endpointurl", server.address)
        workspace.dvc("push")
        tasks = workspace.local("--remote", "s3://data/longtail")
    finally:
        server.kill()
    assert_same_results(workspace, tasks)
    assert {path.stat().st_uid for path in tasks.rglob("*")} == {os.getuid() or 1000}
    executions = [run for run in workspace.parents() if "longtail.execution" in run.data.tags]
    assert [run.info.status for run in executions] == ["FINISHED"]
    assert {run.info.run_name for run in workspace.steps(executions[0])} == {"fetch", *EVERY_STEP}


def test_a_failing_step_fails_the_run(engine: Any, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.write_parameters()
    workspace.dvc("repro", "ingest")
    workspace.write_parameters(fits={"softmax": {"optimisation": {"iterations": 20, "learning_rate": 1e20}}})
    done = workspace.run("pipelines", "local")
    assert done.returncode == 1
    assert "error: the loss is not finite" in done.stdout
    assert done.stderr.splitlines()[-1].startswith("error: the pipeline failed")
    executions = [run for run in workspace.parents() if "longtail.execution" in run.data.tags]
    assert [run.info.status for run in executions] == ["FAILED"]
    assert not list(tmp_path.glob("artifacts/local/*/*/evaluate/page"))


@pytest.mark.parametrize("program", ["false", "true"])
def test_containers_that_die_at_once_fail_the_run(program: str, engine: Any, tmp_path: Path) -> None:
    """kfp.local takes a container for a success if it is gone before its log is read; `true` is one for sure."""
    build = f'FROM {CPU}\nUSER 0\nRUN ["ln", "-sf", "/bin/{program}", "/bin/sh"]\nUSER 1000:1000\n'
    command = [*docker_command(), "build", "--quiet", "--tag", f"longtail-dead:{program}", "-"]
    subprocess.run(command, input=build, text=True, check=True, env=os.environ | {"DOCKER_BUILDKIT": "1"})
    workspace = Workspace(tmp_path)
    workspace.environment["LONGTAIL_CPU_IMAGE"] = f"longtail-dead:{program}"
    workspace.write_parameters()
    workspace.dvc("repro", "ingest")
    try:
        done = workspace.run("pipelines", "local")
    finally:
        engine.images.remove(f"longtail-dead:{program}", force=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: the pipeline failed")


def docker_command() -> list[str]:
    return [os.environ.get("DOCKER", "docker")]


def test_a_killed_training_resumes_to_the_same_weights(engine: Any, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    longer = {"optimisation": {"iterations": 400, "checkpoint_every": 20}}
    workspace.repro(train=longer)
    process = workspace.start("pipelines", "local")
    kill_training(engine, workspace.path / "artifacts" / "local" / "work")
    assert process.wait() == 1
    tasks = workspace.local()
    assert_same_results(workspace, tasks)
    first_steps = [first_step(workspace, run) for run in workspace.parents() if "longtail.execution" in run.data.tags]
    assert len(first_steps) == 2
    assert min(first_steps) == 20
    assert max(first_steps) > 20  # the second training went on from a checkpoint


def kill_training(engine: Any, work: Path) -> None:
    """kill -9 the container of the first round's training when it has written a checkpoint."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        for container in engine.containers.list(ignore_removed=True):
            trains = "LONGTAIL_STEP=train@r1" in container.attrs["Config"]["Env"]
            if trains and list(work.glob("*/checkpoint.safetensors")):
                container.kill("SIGKILL")
                return
        time.sleep(0.1)
    raise TimeoutError("the training wrote no checkpoint")


def first_step(workspace: Workspace, execution: Any) -> int:
    """The first iteration that the training of an execution logged."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{workspace.path}/mlflow.db")
    train = next(run for run in workspace.steps(execution) if run.info.run_name == "train@r1")
    return min(metric.step for metric in client.get_metric_history(train.info.run_id, "training/loss"))
