"""What a bootstrapping is: written once, when it begins, and read by every later call."""

import os
import secrets
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field

from longtail.artifacts.files import written
from longtail.artifacts.reading import UNREADABLE, reason
from longtail.errors import DataError
from longtail.labelling.queue import LONGEST
from longtail.parameters import read_parameters
from longtail.sources.quoting import listed, shown
from longtail.training.declared import Trainings, declared_trainings

FILE = "bootstrap.json"
POOL = "pool"  # the folder of the directory that lists the images
PATHS = ("dataset", "split", "definitions")


class Plan(BaseModel, extra="forbid"):
    """The seed data set and its split, the pool, the training of each turn with all parameters, how people are asked.

    Paths are relative to the directory, so that it can be moved with what it names. By `execution` the runs of all
    turns find their parent in MLflow.
    """

    format_version: Literal[1] = 1
    dataset: str
    split: str
    pool: list[str] = Field(min_length=1)
    parameters: dict[str, Any]
    training: str
    parts: int = Field(4, ge=1)
    confidence: float = Field(0.5, ge=0, le=1)
    by: Literal["confidence", "prediction_set", "random"] = "confidence"
    task: str | None = None
    twice: float = Field(0.0, ge=0, le=1)
    definitions: str | None = None
    seed: int = Field(0, ge=0)
    execution: str

    def write(self, directory: Path) -> None:
        """Write bootstrap.json."""
        with written(directory / FILE) as file:
            file.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")

    @property
    def trainings(self) -> Trainings:
        """The trainings of the parameters, of which `training` is the last that is needed."""
        return declared_trainings(self.parameters | {"evaluate": {"models": [self.training]}}, "the parameters")


def begun(directory: Path, given: dict[str, Any], params: Path | None) -> Plan:
    """The plan of the directory; where there is none, that of what is `given`, which is not written yet.

    Raises DataError if something is missing to begin, or differs from what was begun with.
    """
    file, directory = directory / FILE, directory.resolve()
    asked = {name: _relative(name, value, directory) for name, value in given.items() if value not in (None, [])}
    if params is not None:
        asked["parameters"] = read_parameters(params)
    if file.exists():
        plan = _read(file)
        _check_same(plan, asked, directory)
        return plan
    if missing := [name for name in ("dataset", "split", "pool", "training", "parameters") if name not in asked]:
        options = ", ".join("--params" if name == "parameters" else f"--{name}" for name in missing)
        raise DataError(f"{shown(directory, LONGEST)} holds no bootstrapping yet; to begin one give {options}")
    plan = Plan(**asked, execution=f"bootstrap-{secrets.token_hex(8)}")
    _check(plan, directory)
    return plan


def _read(file: Path) -> Plan:
    try:
        return Plan.model_validate_json(file.read_text(encoding="utf-8"))
    except UNREADABLE as error:
        raise DataError(f"{shown(file, LONGEST)} is no plan of a bootstrapping: {reason(error, FILE)}") from error


def _relative(name: str, value: Any, directory: Path) -> Any:
    if name == "pool":
        return [os.path.relpath(path.resolve(), directory) for path in value]
    return os.path.relpath(value.resolve(), directory) if name in PATHS else value


def _check_same(plan: Plan, asked: dict[str, Any], directory: Path) -> None:
    begun_with = plan.model_dump()
    if other := [name for name, value in asked.items() if begun_with[name] != value]:
        raise DataError(
            f"{shown(directory, LONGEST)} was begun with another {', '.join(other)}; leave it out to go on, or begin "
            "again in another directory"
        )


def _check(plan: Plan, directory: Path) -> None:
    """Raise DataError if the training cannot be, or a path leads nowhere, or into itself."""
    if plan.training not in plan.trainings.after:
        raise DataError(f"there is no training {shown(plan.training)!r}; there are {listed(plan.trainings.after)}")
    if left := sorted(directory.glob("turn-*")):
        raise DataError(
            f"{shown(directory, LONGEST)} holds {left[0].name} and no {FILE}; bring that back, or begin in another "
            "directory"
        )
    for path in (Path(os.path.normpath(directory / one)) for one in [plan.dataset, plan.split, *plan.pool]):
        if not path.exists():
            raise DataError(f"there is nothing at {shown(path, LONGEST)}")
        if path.resolve().is_relative_to(directory / POOL):
            raise DataError(
                f"{shown(path, LONGEST)} is where the list of the pool is written; begin in another directory"
            )
    for pool in plan.pool:
        if directory.is_relative_to((directory / pool).resolve()):
            raise DataError(f"{shown(directory, LONGEST)} lies in the pool, which it would then be part of; move it")
