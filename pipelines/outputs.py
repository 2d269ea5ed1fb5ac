"""What the stages of dvc.yaml leave in the workspace, and which task of the pipeline makes each."""

import shlex
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.repo import Repo
from kfp.dsl.base_component import BaseComponent

from longtail.errors import DataError
from longtail.stages import EDGE_STAGES
from pipelines.arguments import STEPS
from pipelines.graph import behind, specification, tasks


@dataclass(frozen=True)
class Outputs:
    """The outputs of one stage of dvc.yaml ("train@r2"), which is also what the pipeline calls the step, and its `task`
    in the specification ("train-2"): by artifact their directories, and the file of its scalars. `target` is the stage
    as DVC finds it, in whichever dvc.yaml ("edges/dvc.yaml:detect@r2").

    `of_rounds`: whether it comes of a round, which several processes may have trained.
    """

    stage: str
    task: str
    of_rounds: bool
    artifacts: dict[str, Path]
    metrics: Path
    target: str


def outputs(params: Path, pipeline: BaseComponent) -> list[Outputs]:
    """Those of every stage but `ingest`, in the order of the steps. Raises DataError if dvc.yaml is unfit."""
    compiled = specification(pipeline)
    names = {task.step: task.name for task in tasks(compiled)}
    rounds = behind(compiled, "train")
    # Stages of edges may be there for other parameters.
    steps = (*STEPS, *(step for step in EDGE_STAGES if any(name.startswith(f"{step}@") for name in names)))
    try:
        with Repo() as repo:
            stages = [stage for stage in repo.index.stages if _step(stage) in steps]
            found = [_outputs(stage, names[stage.name], rounds) for stage in stages]
    except (DvcException, KeyError) as error:
        raise DataError(f"dvc.yaml does not fit {params}: {' '.join(str(error).split())}") from error
    return sorted(found, key=lambda made: list(names.values()).index(made.task))


def _step(stage: Any) -> str:
    return str(getattr(stage, "name", None) or "").partition("@")[0]


def _outputs(stage: Any, task: str, rounds: set[str]) -> Outputs:
    """An artifact is called as its option in the command: `--model artifacts/r1/model`."""
    words = shlex.split(stage.cmd)
    options = {path: word.removeprefix("--") for word, path in pairwise(words)}
    made = {options[out.def_path]: Path(out.def_path) for out in stage.outs}
    metrics = made.pop("metrics")
    return Outputs(stage.name, task, task in rounds, made, metrics, stage.addressing)
