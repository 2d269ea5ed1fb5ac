"""Class names: their form, their order, those that look alike, and those without a sample."""

import unicodedata
from collections import Counter
from collections.abc import Iterable
from typing import Annotated

import pandas as pd
from pydantic import BeforeValidator, ValidationError

from longtail.data.dataset import RESERVED, Task
from longtail.errors import DataError
from longtail.sources.problems import Problems
from longtail.sources.quoting import listed, shown

LONGEST_NAME = 200  # characters: file names and the lines of a report end somewhere
UNSEEN = ("Cf", "Cc")  # Unicode's categories of zero-width spaces, soft hyphens and control characters
LONGEST_NUMBER = 100  # digits; Python refuses to read numbers of thousands


def class_name(text: str) -> str:
    """The name in the one form by which it is known: composed (Unicode NFC), and without needless white space.

    What only differs in these looks the same to people: é is one character on Linux and two in macOS's file names.
    """
    return " ".join(unicodedata.normalize("NFC", text).split())


def look(name: str) -> str:
    """What names have in common that look alike: they differ in case, spaces, the form of their characters, or in
    characters that nobody sees.
    """
    seen = (one for one in unicodedata.normalize("NFKC", name).casefold() if unicodedata.category(one) not in UNSEEN)
    return "".join("".join(seen).split())


def _as_text(value: object) -> object:
    if isinstance(value, bool | int | float):
        return str(value)
    return class_name(value) if isinstance(value, str) else value


ClassName = Annotated[str, BeforeValidator(_as_text)]
"""A class name in a parameter file, where YAML reads `True` and `3` as other types."""


def ordered(names: Iterable[str]) -> list[str]:
    """The distinct names sorted, as numbers where all are numbers ("2" before "10", "01" before "1")."""
    distinct = set(names)
    numbers = all(name.isdecimal() and len(name) <= LONGEST_NUMBER for name in distinct)
    return sorted(distinct, key=lambda name: (int(name), name)) if numbers else sorted(distinct)


def found_classes(names: Iterable[str], place: str) -> list[str]:
    """The classes of `place` that nobody has declared, ordered. Raises DataError for names that look alike."""
    classes = ordered(names)
    alike: dict[str, str] = {}
    for name in classes:
        key = look(name)
        if key in alike:
            pair = listed([alike[key], name])
            raise DataError(
                f"{place}: the classes {pair} differ only in case, spaces or the form of their characters; give them "
                "one name, or list all classes in `classes` if they are two"
            )
        alike[key] = name
    return classes


def check_task_name(name: str) -> None:
    """Raise DataError for a name that a packed dataset does not accept."""
    if name in RESERVED:
        raise DataError(
            f"a task cannot be named {shown(name)!r}: the samples table has a column of that name; give it another"
        )
    if len(name) > LONGEST_NAME:
        raise DataError(f"a task's name has {LONGEST_NAME} characters at most: {shown(name)!r}; give it another")
    try:
        Task(name=name, classes=[])
    except ValidationError as error:
        fault = error.errors()[0]["msg"]
        raise DataError(f"a task cannot be named {shown(name)!r} ({fault}); give it another name") from error


def make_task(name: str, classes: list[str], background: str | None = None) -> Task:
    """A task. Raises DataError for a bad name, a class declared twice and an unknown background class."""
    check_task_name(name)
    longest = max(classes, key=len, default="")
    if len(longest) > LONGEST_NAME:
        raise DataError(
            f"task {name!r}: the class {shown(longest)!r} has {len(longest)} characters where {LONGEST_NAME} are the "
            "most; does its column hold labels?"
        )
    twice = [label for label, count in Counter(classes).items() if count > 1]
    if twice:
        raise DataError(f"task {name!r} declares the class(es) {listed(twice)} twice")
    if background is not None and background not in classes:
        raise DataError(
            f"task {name!r}: the background class {shown(background)!r} is none of its classes {listed(classes)}"
        )
    return Task(name=name, classes=classes, background=background)


def without_empty_classes(samples: pd.DataFrame, task: Task, place: str, problems: Problems) -> Task:
    """The task without the classes that have no sample, each of which is reported as a problem of `place`."""
    present = set(samples[task.name].dropna())
    for name in task.classes:
        if name not in present:
            problems.add("empty class", place, f"class {shown(name)!r} of task {task.name!r} has no image")
    background = task.background if task.background in present else None
    return Task(name=task.name, classes=[name for name in task.classes if name in present], background=background)
