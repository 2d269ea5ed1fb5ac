"""What a compiled pipeline says of itself: its tasks, with the step, the image and the GPU of each."""

import sys
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format
from kfp.dsl.base_component import BaseComponent

from pipelines.arguments import STEPS

ORDER = ("fetch", *STEPS)


@dataclass(frozen=True)
class Task:
    """A task of the pipeline: `name` in the specification ("train-2"), `step` for the user ("train@r2")."""

    name: str
    step: str
    image: str
    gpu: bool


def specification(pipeline: BaseComponent) -> dict[str, Any]:
    """The pipeline's specification (PipelineSpec) as a mapping."""
    return json_format.MessageToDict(pipeline.pipeline_spec)  # type: ignore[no-any-return]


def tasks(specification: dict[str, Any]) -> list[Task]:
    """Every task, in the order in which they run."""
    executors = specification["deploymentSpec"]["executors"]
    found = []
    for name, task in specification["root"]["dag"]["tasks"].items():
        component = specification["components"][task["componentRef"]["name"]]
        container = executors[component["executorLabel"]]["container"]
        gpu = "accelerator" in container.get("resources", {})
        found.append(Task(name, task["taskInfo"]["name"], container["image"], gpu))
    return sorted(found, key=_place)


def processes(specification: dict[str, Any]) -> int:
    """How many processes train together: as many as the job has that `train` starts, or one."""
    found = 1
    for task in specification["root"]["dag"]["tasks"].values():
        job = task.get("inputs", {}).get("parameters", {}).get("job", {}).get("runtimeValue", {}).get("constant", {})
        found = max(found, int(job.get("num_nodes", 1) * job.get("gpus_per_node", 1)))
    return found


def _place(task: Task) -> tuple[int, int, int]:
    step, _, round_name = task.step.partition("@r")
    number = int(round_name or 0) or (len(ORDER) ** 3 if step in ("index", "evaluate") else 0)
    step, _, part = step.partition(".part")
    # The parts of a step come before it.
    return number, ORDER.index(step) if step in ORDER else 0, int(part or sys.maxsize)
