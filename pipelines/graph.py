"""What a compiled pipeline says of itself: its tasks, with the step, the image and the GPU of each."""

import sys
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format
from kfp.dsl.base_component import BaseComponent

from longtail.stages import EDGE_STAGES
from longtail.train_job.manifest import Job
from pipelines.arguments import STEPS

ORDER = ("fetch", *STEPS, *EDGE_STAGES)


@dataclass(frozen=True)
class Task:
    """A task of the pipeline: `name` in the specification ("train-2"), `step` as dvc.yaml has it ("train@r2"); what it
    asks of a cluster, where it asks; the job that it starts, where several machines train.
    """

    name: str
    step: str
    image: str
    gpu: bool
    cpu: str | None = None
    memory: str | None = None
    executor: str = ""
    job: Job | None = None


def specification(pipeline: BaseComponent) -> dict[str, Any]:
    """The pipeline's specification (PipelineSpec) as a mapping."""
    return json_format.MessageToDict(pipeline.pipeline_spec)  # type: ignore[no-any-return]


def tasks(specification: dict[str, Any]) -> list[Task]:
    """Every task, in the order in which they run."""
    executors = specification["deploymentSpec"]["executors"]
    found = []
    for name, task in specification["root"]["dag"]["tasks"].items():
        component = specification["components"][task["componentRef"]["name"]]
        executor = component["executorLabel"]
        container = executors[executor]["container"]
        asked = container.get("resources", {})
        cpu, memory = asked.get("resourceCpuRequest"), asked.get("resourceMemoryRequest")
        step, gpu = task["taskInfo"]["name"], "accelerator" in asked
        found.append(Task(name, step, container["image"], gpu, cpu, memory, executor, _job(task)))
    return _in_order(found, {task.name: set(_before(specification, task.name)) for task in found})


def hours(pipeline: BaseComponent) -> dict[str, float]:
    """After how many hours a pod is ended, by the task's executor."""
    platform = json_format.MessageToDict(pipeline.platform_spec)
    executors = platform.get("platforms", {}).get("kubernetes", {}).get("deploymentSpec", {}).get("executors", {})
    return {
        name: int(of_one["activeDeadlineSeconds"]) / 3600
        for name, of_one in executors.items()
        if "activeDeadlineSeconds" in of_one
    }


def processes(specification: dict[str, Any]) -> int:
    """How many processes train together: as many as the job has that `train` starts, or one."""
    jobs = filter(None, map(_job, specification["root"]["dag"]["tasks"].values()))
    return max((job.processes for job in jobs), default=1)


def behind(specification: dict[str, Any], step: str) -> set[str]:
    """The tasks of a step, and all that come of them."""
    found: set[str] = set()
    for task in tasks(specification):
        if task.step.partition("@")[0] == step or found & set(_before(specification, task.name)):
            found.add(task.name)
    return found


def _job(task: dict[str, Any]) -> Job | None:
    found = task.get("inputs", {}).get("parameters", {}).get("job", {}).get("runtimeValue", {}).get("constant")
    return Job.model_validate(found) if found else None


def _before(specification: dict[str, Any], task: str) -> list[str]:
    found: list[str] = specification["root"]["dag"]["tasks"][task].get("dependentTasks", [])
    return found


def _in_order(tasks: list[Task], before: dict[str, set[str]]) -> list[Task]:
    """Every task behind those that it needs; among those that could be next, the one of the earliest step, by name."""
    waiting, done = sorted(tasks, key=_place), list[Task]()
    while waiting:
        names = {task.name for task in done}
        ready = next(task for task in waiting if before[task.name] <= names)
        waiting.remove(ready)
        done.append(ready)
    return done


def _place(task: Task) -> tuple[int, str, int]:
    step, _, training = task.step.partition("@")
    step, _, part = step.partition(".part")
    return ORDER.index(step) if step in ORDER else 0, training, int(part or sys.maxsize)
