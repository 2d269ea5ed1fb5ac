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
from longtail.parameters import read_parameters
from pipelines.arguments import STEPS
from pipelines.graph import specification, tasks


@dataclass(frozen=True)
class Outputs:
    """The outputs of one stage: by artifact their directories, and the file of its scalars.

    A round has its name from params.yaml in `stage`, and its number in `step` ("train@r2") and in `task` ("train-2").
    """

    stage: str
    step: str
    task: str
    artifacts: dict[str, Path]
    metrics: Path


def outputs(params: Path, pipeline: BaseComponent) -> list[Outputs]:
    """Those of every stage but `ingest`, in the order of the steps. Raises DataError if dvc.yaml is unfit."""
    rounds = list(read_parameters(params).get("rounds") or [])
    names = {task.step: task.name for task in tasks(specification(pipeline))}
    try:
        with Repo() as repo:
            stages = [stage for stage in repo.index.stages if _step(stage) in STEPS]
            found = [_outputs(stage, _numbered(stage.name, rounds), names) for stage in stages]
    except (DvcException, KeyError) as error:
        raise DataError(f"dvc.yaml does not fit {params}: {' '.join(str(error).split())}") from error
    return sorted(found, key=lambda made: list(names.values()).index(made.task))


def _step(stage: Any) -> str:
    return str(getattr(stage, "name", None) or "").partition("@")[0]


def _numbered(stage: str, rounds: list[str]) -> str:
    """The pipeline counts the rounds; in params.yaml they have names, and so have classifiers."""
    step, _, name = stage.partition("@")
    return f"{step}@r{rounds.index(name) + 1}" if name in rounds else step


def _outputs(stage: Any, step: str, tasks: dict[str, str]) -> Outputs:
    """An artifact is called as its option in the command: `--model artifacts/r1/model`."""
    words = shlex.split(stage.cmd)
    options = {path: word.removeprefix("--") for word, path in pairwise(words)}
    made = {options[out.def_path]: Path(out.def_path) for out in stage.outs}
    metrics = made.pop("metrics")
    return Outputs(stage.name, step, tasks[step], made, metrics)
