"""What people said of the images of several queues, together: a class or a rejection for each image."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from longtail.data.dataset import Task
from longtail.errors import DataError
from longtail.labelling.decisions import Decided, decisions
from longtail.labelling.queue import LONGEST, Queue
from longtail.sources.quoting import shown


class Verdict(NamedTuple):
    """An image that is of the class, or that was looked at as the class and is not. `source`: the user's name of it."""

    item: str
    source: str
    name: str
    accepted: bool


class Tally(NamedTuple):
    """Of the images of a queue how many were asked for, and what was said: each image counts once."""

    asked: int
    yes: int
    no: int
    unsure: int
    undecided: int


def verdicts(queues: Iterable[Path], task: Task) -> list[Verdict]:
    """One for each image with a yes or a no, in the order of their digests. Of an image in several queues the last one
    on which it was decided counts: it was asked again because nobody had decided.

    Raises DataError if a queue is of another task, or cannot be read.
    """
    found: dict[str, Verdict] = {}
    for queue in queues:
        _check_task(Queue.open(queue), task)
        for item, one in decisions(queue).items():
            if one.merged is not None:
                found.pop(item, None)
            if one.merged in ("yes", "no"):
                found[item] = Verdict(item, one.item.source, one.item.proposed, one.merged == "yes")
    return sorted(found.values())


def digest(found: Iterable[Verdict]) -> str:
    """By which verdicts are known: the same of the same, whoever said it and when."""
    return hashlib.sha256(json.dumps([(one.item, one.name, one.accepted) for one in found]).encode()).hexdigest()


def tally(queue: Path) -> Tally:
    """What was said of a queue so far."""
    merged = [one.merged for one in decisions(queue).values()]
    return Tally(len(merged), merged.count("yes"), merged.count("no"), merged.count("unsure"), merged.count(None))


def undecided(queue: Path) -> Iterator[str]:
    """The images of a queue that nobody decided."""
    return (item for item, one in decisions(queue).items() if one.merged is None)


def is_done(queue: Path) -> bool:
    """Whether every image was decided, by two people where two are to see it."""
    return all(_enough(one) for one in decisions(queue).values())


def _enough(one: Decided) -> bool:
    return len(one.by_person) >= 1 + one.item.twice


def _check_task(queue: Queue, task: Task) -> None:
    classes = [one.name for one in queue.info.classes]
    if queue.info.task != task.name or classes != task.classes:
        raise DataError(
            f"{shown(queue.path, LONGEST)} asks for the task {shown(queue.info.task)!r} of {len(classes)} classes, and "
            f"the split has {task.name!r} of {len(task.classes)}; give a queue that a model of this split proposed"
        )
