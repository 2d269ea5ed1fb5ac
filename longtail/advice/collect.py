"""What to collect next: of which classes, and how many."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from longtail.advice.detectable import needed, of_mean
from longtail.advice.facts import ClassFacts, Facts, TaskFacts
from longtail.advice.tested import TaskTold, Told
from longtail.metrics.scores import PUBLISHED

PARTS = (0.1, 0.3, 1.0)  # of what is to be collected, for those who cannot have all


@dataclass(frozen=True)
class Wanted:
    """A class of which more images serve: so many more to `test`, of different groups, so that a difference in it is
    told; so many more to `train`, so that it is no few-shot class. `images`: to collect in all, as the split divides
    them. `share`: of the uncertainty of the mean, in [0, 1], that is this class's.
    """

    name: str
    train: int
    test: int
    images: int
    share: float


@dataclass(frozen=True)
class Collection:
    """What to collect for a task, what weighs most first; `smallest`: for shares of it, in (0, 1], the difference in
    the mean that is told then, None where none is told.
    """

    task: str
    difference: float
    wanted: list[Wanted]
    smallest: dict[float, float | None]


def to_collect(facts: Facts, tasks: Sequence[TaskTold], difference: float) -> list[Collection]:
    """Of each task the classes in which a `difference` in (0, 1] is not told, or that are few-shot classes."""
    return [_of_task(facts, task, told, difference) for task, told in zip(facts.tasks, tasks, strict=True)]


def _of_task(facts: Facts, task: TaskFacts, told: TaskTold, difference: float) -> Collection:
    classes = {one.name: one for one in task.classes}
    # A class without a test image is all that the mean does not know.
    unknown = [one.discordance / one.worth if one.worth else math.inf for one in told.classes]
    wanted = [
        _of_class(facts, classes[one.name], one, difference, _share(own, unknown))
        for one, own in zip(told.classes, unknown, strict=True)
    ]
    tests = [one.test for one in wanted]
    left = sorted((one for one in wanted if one.images), key=lambda one: -one.share)
    return Collection(task.name, difference, left, {share: _with(told, tests, share) for share in PARTS})


def _with(told: TaskTold, tests: Sequence[int], share: float) -> float | None:
    """What is told in the mean with this share of so many more test images of each class."""
    worth = [one.worth + math.floor(share * more) for one, more in zip(told.classes, tests, strict=True)]
    tested = [(n, one.discordance) for n, one in zip(worth, told.classes, strict=True) if n]
    return of_mean(*map(list, zip(*tested, strict=True))) if tested else None


def _share(own: float, every: Sequence[float]) -> float:
    endless = every.count(math.inf)
    if endless:
        return 1 / endless if own == math.inf else 0.0
    return own / sum(every) if sum(every) else 0.0


def _of_class(facts: Facts, one: ClassFacts, told: Told, difference: float, share: float) -> Wanted:
    test = max(0, math.ceil(needed(told.discordance, difference) - told.worth))
    train = max(0, PUBLISHED.few - one.train)
    if facts.test_is_official:
        return Wanted(one.name, train, test, train + test, share)
    images = max(math.ceil(test / facts.shares["test"]), math.ceil(train / facts.shares["train"]))
    return Wanted(one.name, train, test, images, share)
