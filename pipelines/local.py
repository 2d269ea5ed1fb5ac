"""The pipeline on this machine, one container (or one process) a step, through kfp.local."""

import os
import secrets
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import docker
from docker.errors import DockerException  # type: ignore[import-not-found]
from kfp import local
from kfp.dsl.base_component import BaseComponent
from kfp.local.config import LocalRunnerType

from components import images
from longtail import tracking
from longtail.environment import changed
from longtail.errors import DataError
from longtail.parameters import marked
from pipelines.resources import USER

Runner = Literal["docker", "subprocess"]

# Where the data's store is and who may read it; and the number of threads, which decides the last bits of a sum.
PASSED = (
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"),
    *("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "OMP_NUM_THREADS"),
)


def run_local(
    pipeline: BaseComponent, arguments: dict[str, Any], runner: Runner, root: Path, *, gpus: bool = False
) -> Path:
    """Run the pipeline below `root` and return the folder that holds a folder for each of its tasks.

    `gpus` gives containers all GPUs of this machine; processes see them anyway.

    Raises DataError if Docker or an image is missing, or if a task fails.
    """
    # UTC repeats no hour; the random digits are of starts within one second.
    execution = root.absolute() / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"
    environment = _environment(execution)
    execution.mkdir(parents=True)
    Path(environment["LONGTAIL_WORK"]).mkdir(exist_ok=True)
    chosen: LocalRunnerType = local.SubprocessRunner(use_venv=False)
    if runner == "docker":
        chosen = _docker(execution, environment, arguments["fetch"]["remote"], gpus=gpus)
    # A cache for this execution alone: kfp.local knows an image by its name, not by its content.
    local.init(runner=chosen, pipeline_root=str(execution))
    with changed(environment):  # of steps that run as processes of this machine
        try:
            pipeline(**marked(arguments))
        # kfp.local raises a ValueError where a step that it took for a success has left nothing.
        except (RuntimeError, ValueError, DockerException) as error:
            raise DataError(f"the pipeline failed: {error}; the step's own message is above") from error
        finally:
            if environment.get("LONGTAIL_TRACKING") == "later":
                _deliver()
    return check_tasks(execution, [name.removeprefix("comp-") for name in pipeline.pipeline_spec.components])


def check_tasks(execution: Path, names: list[str]) -> Path:
    """The folder of the execution's tasks. Raises DataError if a task left no record, or for several folders.

    kfp.local takes a container that was gone before its log could be read for a success.
    """
    folders = sorted(path for path in execution.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(folders) > 1:
        several = ", ".join(folder.name for folder in folders)
        raise DataError(f"{execution} holds the tasks of several executions: {several}; run the pipeline again")
    folder = folders[0] if folders else execution
    silent = [name for name in sorted(names) if not (folder / name / "metrics").is_file()]
    if silent:
        raise DataError(f"these steps ended without a result: {', '.join(silent)}")
    return folder


def _deliver() -> None:
    try:
        print(f"tracked: {tracking.sync()} steps")
    except DataError as error:  # which must not hide why a step failed
        later = f"LONGTAIL_WORK={os.environ['LONGTAIL_WORK']} longtail sync"
        print(f"warning: {error}; `{later}` delivers them", file=sys.stderr)


def _environment(execution: Path) -> dict[str, str]:
    """What every step gets: the execution's id, a place for checkpoints, and where to track."""
    kept = {
        key: value for key, value in os.environ.items() if key.startswith(("MLFLOW_", "LONGTAIL_")) or key in PASSED
    }
    kept |= {"LONGTAIL_EXECUTION": f"local-{execution.name}", "LONGTAIL_WORK": str(execution.parent / "work")}
    if kept.get("LONGTAIL_TRACKING") != "off" and not kept.get("MLFLOW_TRACKING_URI", "").startswith("http"):
        # A local store is a file out here: the steps keep journals, which are delivered when the last one has ended.
        kept |= {"LONGTAIL_TRACKING": "later", "MLFLOW_TRACKING_URI": f"sqlite:///{Path('mlflow.db').absolute()}"}
    return kept


def _docker(execution: Path, environment: dict[str, str], remote: str, *, gpus: bool) -> local.DockerRunner:
    """Containers as they are in a cluster: no root, nothing writable but /tmp and the outputs, no capabilities."""
    _check_images()
    work = environment["LONGTAIL_WORK"]
    user, group = os.getuid() or USER, os.getgid() or USER
    for folder in (execution, Path(work)) if not os.getuid() else ():
        hand_over(folder, user, group)
    # kfp.local itself mounts the execution's folder.
    mounts = [docker.types.Mount(work, work, "bind")]
    if remote.startswith("/"):
        mounts.append(docker.types.Mount(remote, remote, "bind", read_only=True))
    return local.DockerRunner(
        user=f"{user}:{group}",
        environment=environment,
        mounts=mounts,
        network_mode="host",
        read_only=True,
        tmpfs={"/tmp": "mode=1777"},
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        shm_size="2g",
        device_requests=[docker.types.DeviceRequest(count=-1, capabilities=[["gpu"]])] if gpus else [],
    )


def hand_over(folder: Path, user: int, group: int) -> None:
    """Give a folder to the user of the containers, with what earlier runs, as processes of root, have left in it."""
    for path in (folder, *folder.rglob("*")):
        with suppress(FileNotFoundError):  # what another run has just removed
            os.chown(path, user, group, follow_symlinks=False)


def _check_images() -> None:
    try:
        client = docker.from_env()
        known = {name for image in client.images.list() for name in [*image.tags, *image.attrs["RepoDigests"]]}
    except DockerException as error:
        raise DataError(f"cannot use Docker ({error}): start it, or run make local RUNNER=subprocess") from error
    missing = [image for image in (images.CPU, images.CUDA) if image not in known]
    if missing:
        raise DataError(f"there is no image {' and no '.join(missing)} here: run `make images`")
