"""Send the pipeline to a cluster: everything is checked before anything is sent, or written for others to send."""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from kfp import Client
from kfp.compiler import Compiler
from kfp.dsl.base_component import BaseComponent

from components import images
from longtail.errors import DataError
from longtail.tracking.identity import git_state
from pipelines.graph import Task, hours, specification, tasks
from pipelines.resources import WORK
from pipelines.server import Access, explained, quietly

LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Submission:
    """A run that may be sent: the pipeline, its arguments, and where among the runs it goes."""

    pipeline: BaseComponent
    arguments: dict[str, Any]
    experiment: str
    name: str
    cache: bool
    service_account: str | None

    @property
    def tasks(self) -> list[Task]:
        """The tasks in the order in which they run."""
        return tasks(specification(self.pipeline))

    def __str__(self) -> str:
        """What would be sent, for the user to read."""
        wanted, ends = self.tasks, hours(self.pipeline)
        rows = [row for task in wanted for row in _machines(task, ends[task.executor])]
        width = max(len(name) for name, *_ in rows)
        steps = [
            f"  {name:{width}}  {cpu:>4} CPU  {memory:>5}  {gpus:5}  {most:>3g} h at most  {image}"
            for name, cpu, memory, gpus, most, image in rows
        ]
        values = [f"  {name}: {json.dumps(value)}" for name, value in self.arguments.items()]
        about = f"run {self.name!r} of {self.pipeline.name} in the experiment {self.experiment!r}"
        how = f"as {self.service_account or 'the default account'}, {'with' if self.cache else 'without'} the cache"
        return "\n".join([f"{about}, {how}", f"{len(wanted)} steps:", *steps, "arguments:", *values])


def _machines(task: Task, most: float) -> Iterator[tuple[str, str | None, str | None, str, float, str]]:
    """What a step asks for, and below it what each machine of the job does that it starts."""
    yield task.step, task.cpu, task.memory, "GPU" if task.gpu else "", most, task.image
    if job := task.job:
        gpus = f"{job.gpus_per_node} GPU" if job.gpus_per_node > 1 else "GPU"
        each = f"  each of {job.num_nodes} machines" if job.num_nodes > 1 else "  its machine"
        yield each, job.cpu, job.memory, gpus, job.hours, job.image


def run_name() -> str:
    """A name that says when and, where git knows, of which commit."""
    commit = git_state().get("commit", "")[:8]
    return f"longtail {datetime.now():%Y-%m-%d %H:%M:%S} {commit}".rstrip()


def check_images(*, mutable: bool) -> None:
    """Raise DataError if an image may be another one tomorrow, unless that is allowed."""
    by_name = [image for kind in ("cpu", "cuda") if "@sha256:" not in (image := images.pushed(kind))]
    if by_name and not mutable:
        raise DataError(
            f"the image {by_name[0]} may change under its name: run `make push REGISTRY=…`, or set LONGTAIL_CPU_IMAGE "
            "and LONGTAIL_CUDA_IMAGE to references with @sha256:… (or allow names with --mutable-images)"
        )


def check_reachable(remote: str, md5: str, endpoint: str | None = None) -> None:
    """Raise DataError if a step in the cluster could not fetch the data."""
    if not remote.startswith("s3://"):
        raise DataError(f"a cluster cannot fetch the data from {remote}: push it to S3 and give --remote s3://…")
    if endpoint and urlsplit(endpoint).hostname in LOOPBACK:
        raise DataError(f"in the cluster {endpoint} is not your store: give --endpoint with its address in there")


def check_weights(start: dict[str, Any]) -> None:
    """Raise DataError if the weights that `start` takes, as its parameters say, are in a file that no pod has."""
    path = PurePosixPath((start.get("weights") or {}).get("path", WORK))
    if not path.is_relative_to(WORK) or ".." in path.parts:
        raise DataError(
            f"no pod has the file {path} of start.weights.path: copy it to the volume of work_claim, which they have "
            f"at {WORK}, and name it {WORK}/weights/{path.name}"
        )


def doubts() -> list[str]:
    """What may make the run another than the user thinks, a sentence each: which code the images hold."""
    state = git_state()
    commit, built = state.get("commit"), images_commit()
    found = []
    if state.get("dirty") == "true":
        found.append("files differ from the commit; `adopt` takes a run only into the code that made it")
    if built is None:
        found.append("it is not known which commit the images were built from")
    elif built.removesuffix("-dirty") != commit:
        found.append(f"the images were built from {built}, and this is {commit or 'no git repository'}")
    return found


def images_commit() -> str | None:
    """The commit of the images that were pushed last; None if others are used, or if it was not noted."""
    pushed = images.noted()
    used = {"cpu": images.pushed("cpu"), "cuda": images.pushed("cuda")}
    commit = pushed.get("commit", "unknown")  # as `make push` calls it without git
    return commit if used.items() <= pushed.items() and commit != "unknown" else None


def send(submission: Submission, client: Client, to: Access) -> str:
    """Create the run, and the experiment if there is none; return the run's id. Raises DataError if it is refused."""
    with tempfile.TemporaryDirectory() as folder, quietly():
        package = Path(folder) / "pipeline.yaml"
        Compiler().compile(submission.pipeline, str(package))
        with explained(to, f"to open the experiment {submission.experiment!r}"):
            experiment = client.create_experiment(submission.experiment, namespace=to.namespace)
        identifier = _known(experiment.experiment_id, to)
        with explained(to, "to create the run"):
            run = client.run_pipeline(
                identifier,
                submission.name,
                str(package),
                submission.arguments,
                enable_caching=None if submission.cache else False,
                service_account=submission.service_account,
            )
    return _known(run.run_id, to)


def _known(identifier: str | None, to: Access) -> str:
    # The client makes an empty object of any page that answers with 200: a login, say.
    if not identifier:
        raise DataError(f"{to.host} answers, but not as Kubeflow Pipelines does: is it a login page, or its dashboard?")
    return identifier
