"""Class names: their order, those outside the declared ones, and those without a sample."""

from typing import Annotated

import pandas as pd
from pydantic import BeforeValidator, ValidationError

from longtail.data.dataset import RESERVED, Task
from longtail.errors import DataError
from longtail.sources.problems import Problems


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, bool | int | float) else value


ClassName = Annotated[str, BeforeValidator(_as_text)]
"""A class name in a parameter file, where YAML reads `True` and `3` as other types."""


def ordered(names: "set[str] | pd.Series[str]") -> list[str]:
    """The distinct names sorted, as numbers where all are numbers ("2" before "10")."""
    distinct = set(names)
    return sorted(distinct, key=int) if all(name.isdecimal() for name in distinct) else sorted(distinct)


def check_task_name(name: str) -> None:
    """Raise DataError for a name that a packed dataset does not accept."""
    if name in RESERVED:
        raise DataError(
            f"a task cannot be named {name!r}: the samples table has a column of that name; give it another"
        )
    try:
        Task(name=name, classes=[])
    except ValidationError as error:
        fault = error.errors()[0]["msg"]
        raise DataError(f"a task cannot be named {name!r} ({fault}); give it another name") from error


def make_task(name: str, classes: list[str], background: str | None = None) -> Task:
    """A task. Raises DataError for a bad name, a class declared twice and an unknown background class."""
    check_task_name(name)
    twice = sorted({label for label in classes if classes.count(label) > 1})
    if twice:
        raise DataError(f"task {name!r} declares the class(es) {twice} twice")
    if background is not None and background not in classes:
        raise DataError(f"task {name!r}: the background class {background!r} is none of its classes {classes}")
    return Task(name=name, classes=classes, background=background)


def without_empty_classes(samples: pd.DataFrame, task: Task, place: str, problems: Problems) -> Task:
    """The task without the classes that have no sample, each of which is reported as a problem of `place`."""
    present = set(samples[task.name].dropna())
    for name in task.classes:
        if name not in present:
            problems.add("empty class", place, f"class {name!r} of task {task.name!r} has no image")
    background = task.background if task.background in present else None
    return Task(name=task.name, classes=[name for name in task.classes if name in present], background=background)
