"""The step that trains on several machines: it asks for the TrainJob, follows it, and brings its model.

What the machines share lies on the volume, below $LONGTAIL_WORK, in a folder that has the job's name: the inputs, the
parameters, then the model and the metrics. The name follows from the execution, the inputs and the parameters, so a
step that is tried again finds folder and job. After a failure the folder stays, and so do the checkpoints beside it.
"""

import hashlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from longtail.artifacts.files import remove, replace
from longtail.artifacts.lineage import BESIDE
from longtail.errors import DataError
from longtail.execution import ARGUMENTS, one_sentence, tracked, upstream, write_record
from longtail.parameters import check_section
from longtail.train_job.cluster import Cluster
from longtail.train_job.following import follow
from longtail.train_job.last_words import FILE, VARIABLE
from longtail.train_job.manifest import JOB_LABEL, Job, manifest

POLL = 10.0  # seconds
VISIBLE_AFTER = 120.0  # seconds; an NFS client may remember for a minute that a file does not exist
# Which run of the tracking server the stage belongs to; addresses and credentials come from the cluster.
PASSED = (
    *("LONGTAIL_EXECUTION", "LONGTAIL_STEP", "LONGTAIL_TRACKING", "LONGTAIL_WORK"),
    *("MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID", "MLFLOW_RUN_NAME"),
)


def launch_component(
    inputs: dict[str, str], model: str, section: dict[str, Any], job: dict[str, Any], record: str
) -> dict[str, float]:
    """Do what `execute_component` does for `train`, by a job; bad input ends the process with a sentence."""
    with one_sentence():
        paths = {name: Path(path) for name, path in inputs.items()}
        try:
            asked = check_section("job", job, Job, ARGUMENTS)
            report = launch(paths, Path(model), section, asked, Cluster.around_this_pod())
            write_record(Path(record), report)
        except BaseException:
            # The stage tracks itself, in the job. Whatever fails here, before or after it, and whoever stops this step:
            # the run of the pipeline must not stay open.
            with tracked("train", paths, section, _before(paths) | {"train": section}):
                raise
    return report


def launch(
    inputs: dict[str, Path], model: Path, section: dict[str, Any], job: Job, cluster: Cluster, poll: float = POLL
) -> dict[str, float]:
    """Train by a job of the cluster, write the model directory and return the stage's scalars.

    Raises DataError, as one sentence, if the job fails or the cluster refuses it; there is no model then.
    """
    volume = os.environ.get("LONGTAIL_WORK")
    if not volume:
        raise DataError("LONGTAIL_WORK names no directory; several machines need one that all of them see")
    name = job_name(inputs, section, job)
    folder = Path(volume) / name
    result = folder / "metrics.json"  # the stage writes it last, so there is a whole model beside it
    _bring_inputs(folder, inputs, section)
    report = _report(result)
    if report is None:
        environment = {key: os.environ[key] for key in PASSED if key in os.environ} | {VARIABLE: FILE}
        asked = manifest(name, job, cluster.account, Path(volume), _command(folder, inputs), environment)
        with _deleted_if_stopped(cluster, name):
            _start(cluster, asked, poll)
            follow(cluster, name, poll)
            report = _wait_for(result, poll)
    partial = model.with_name(f".{model.name}.partial")
    _copy(folder / "model", partial)
    replace(partial, model)
    cluster.delete(name)
    remove(folder)
    return report


def job_name(inputs: dict[str, Path], section: dict[str, Any], job: Job) -> str:
    """A name that follows from the execution, the inputs' content, the parameters and the number of processes.

    Without the execution two pipelines that train the same would share a job, and the first to end would take it away.
    """
    about = [os.environ.get("LONGTAIL_EXECUTION"), section, job.processes]
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, path in inputs.items():
        for file in sorted(file for file in path.rglob("*") if file.is_file()):
            with file.open("rb") as content:
                digest.update(hashlib.file_digest(content, "sha256").digest())
            digest.update(f"\n{name}/{file.relative_to(path).as_posix()}\n".encode("utf-8", "surrogateescape"))
    return f"longtail-train-{digest.hexdigest()[:16]}"


def _bring_inputs(folder: Path, inputs: dict[str, Path], section: dict[str, Any]) -> None:
    """Copy what the stage reads to the volume, whole or not at all, if it is not there."""
    if (folder / "inputs").is_dir():
        return
    partial = folder / ".inputs.partial"
    for name, path in inputs.items():
        _copy(path, partial / name)
    before = {name: values for name, values in _before(inputs).items() if name not in BESIDE}
    (partial / "params.json").write_text(json.dumps(before | {"train": section}), encoding="utf-8")
    partial.rename(folder / "inputs")


def _before(inputs: dict[str, Path]) -> dict[str, Any]:
    """What the inputs were made with, as params.yaml has it: the run of the whole pipeline shows it."""
    return upstream(dict.fromkeys(inputs, "input"), inputs)


def _command(folder: Path, inputs: dict[str, Path]) -> list[str]:
    """The stage's command line, for torchrun."""
    paths = {name: folder / "inputs" / name for name in inputs}
    paths |= {"model": folder / "model", "params": folder / "inputs" / "params.json"}
    paths |= {"metrics": folder / "metrics.json"}
    words = [word for name, path in paths.items() for word in (f"--{name}", str(path))]
    return ["-m", "longtail.train_job.last_words", "train", *words]


def _start(cluster: Cluster, job: dict[str, Any], poll: float) -> None:
    """Create the job, unless one of its name is under way or complete; one that has failed, or left nothing, goes."""
    name = job["metadata"]["name"]
    if cluster.create(job):
        print(f"created the TrainJob {name}; its machines: kubectl get pods -l {JOB_LABEL}={name}", flush=True)
        return
    state = cluster.state(name)
    if state is not None and not state.condition:
        print(f"following the TrainJob {name}, which is under way", flush=True)
        return
    print(f"creating the TrainJob {name} anew: the one before has ended, and there is no model", flush=True)
    cluster.delete(name)
    cluster.wait_until_gone(name, poll)
    cluster.create(job)


@contextmanager
def _deleted_if_stopped(cluster: Cluster, name: str) -> Iterator[None]:
    """Delete the job if this process is told to end (SIGTERM).

    Most often the user has ended the pipeline, or the time is up, and nobody would free the machines. If it is this pod
    that has to move, it is tried again, and the new job goes on from the checkpoint. A pod that dies without a word
    leaves the job, and its successor follows it.
    """

    def stop(*_: object) -> None:
        sys.exit("error: the step was stopped; its TrainJob is deleted, and the checkpoints stay")

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except SystemExit:
        cluster.delete(name)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _report(result: Path) -> dict[str, float] | None:
    """The stage's scalars; None while they are not there, or not whole: a full disk leaves an empty file."""
    try:
        report: dict[str, float] = json.loads(result.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return report


def _wait_for(result: Path, poll: float) -> dict[str, float]:
    end = time.monotonic() + VISIBLE_AFTER
    while (report := _report(result)) is None:
        if time.monotonic() > end:
            raise DataError(f"the TrainJob is complete, but {result} is not there; is the volume the same for all?")
        time.sleep(min(poll, 1))
    return report


def _copy(source: Path, target: Path) -> None:
    """A directory's files, without their modes: on the volume all belong to one user."""
    remove(target)
    try:
        shutil.copytree(source, target, copy_function=shutil.copyfile)
    except BaseException as error:
        remove(target)
        if isinstance(error, shutil.Error):
            _, where, why = error.args[0][0]
            raise DataError(f"cannot copy to {where}: {why}") from error
        raise
