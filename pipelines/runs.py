"""A run as the server of Kubeflow Pipelines knows it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kfp import Client

from longtail.errors import DataError
from pipelines.graph import processes
from pipelines.server import Access, explained


@dataclass(frozen=True)
class Run:
    """`tasks`: by name, whether the cache may give what the task makes. `processes`: that train together.
    `finished`: in seconds of the epoch.
    """

    id: str
    state: str
    pipeline: str
    tasks: dict[str, bool]
    processes: int
    root: str | None
    finished: float


def find_run(client: Client, to: Access, run_id: str) -> Run:
    """Raises DataError if there is none, or if the server does not answer."""
    with explained(to, f"to show the run {run_id}"):
        run = client.get_run(run_id)
        document = run.pipeline_spec or _of_version(client, run.pipeline_version_reference)
    if not run.run_id:
        raise DataError(f"{to.host} answers, but not as Kubeflow Pipelines does: is it a login page, or its dashboard?")
    specification = document.get("pipeline_spec", document)
    tasks = specification.get("root", {}).get("dag", {}).get("tasks", {})
    # What the pods of a part have built is in the task that merges it.
    tasks = {name: task for name, task in tasks.items() if not name.startswith("quintuplets-part")}
    pipeline = specification.get("pipelineInfo", {}).get("name", "unknown")
    return Run(
        run.run_id,
        str(run.state),
        pipeline,
        {name: task.get("cachingOptions", {}).get("enableCache", False) for name, task in tasks.items()},
        processes(specification) if pipeline == "longtail" else 1,
        (run.runtime_config and run.runtime_config.pipeline_root) or specification.get("defaultPipelineRoot"),
        _seconds(run.finished_at) or float("inf"),
    )


def _seconds(moment: datetime | None) -> float:
    """Of the epoch, by whose first second the server means none."""
    return moment.timestamp() if moment else 0.0


def _of_version(client: Client, reference: Any) -> dict[str, Any]:
    """The specification of a pipeline that was uploaded before it was run."""
    if reference is None:
        return {}
    version = client.get_pipeline_version(reference.pipeline_id, reference.pipeline_version_id)
    return version.pipeline_spec or {}


def check_run(run: Run, to: Access, pipeline: str, tasks: set[str]) -> None:
    """Raises DataError if the run is of another pipeline, has other tasks or processes, or has not succeeded."""
    if run.pipeline != pipeline:
        raise DataError(f"the run {run.id} is of the pipeline {run.pipeline}, and not of {pipeline}")
    if run.state != "SUCCEEDED":
        raise DataError(f"the run {run.id} has not succeeded, it is {run.state.lower()}; see {to.page(run.id)}")
    if run.tasks.keys() != tasks:
        theirs, ours = (", ".join(sorted(names)) for names in (run.tasks.keys() - tasks, tasks - run.tasks.keys()))
        raise DataError(
            f"the run {run.id} has other trainings than params.yaml: it alone has the tasks {theirs or 'none'}, and "
            f"params.yaml alone {ours or 'none'}; declare the run's in `fits`, `rounds` and `evaluate.models`, "
            "and maps of edges by the sections `detect` and `score`"
        )
    if run.processes > 1:
        raise DataError(
            f"the run {run.id} trains with {run.processes} processes, and `dvc repro` with one, which makes other "
            "weights; to adopt a run, leave num_nodes and gpus_per_node of `kubernetes` at 1"
        )
