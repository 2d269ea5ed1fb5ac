"""What the test subset of a data set can tell, class by class and in the mean, before anything is trained."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from longtail.advice.detectable import margin, of_class, of_mean, of_seeds, variance
from longtail.advice.facts import EVEN, ClassFacts, Facts, TaskFacts
from longtail.advice.measured import MeasuredTask
from longtail.advice.nearest import Near

SEEDS = (3, 5, 10)
ONE = 1.0  # likeness: groups of which nothing is known count as one image


@dataclass(frozen=True)
class Told:
    """What can be told of a class: `worth` so many independent test images, which are one of `drawn_from` parts of all
    that test subsets can be drawn from; the smallest difference in its accuracy, None where none is told; and the
    `margin` of the accuracy of one model, in [0, 0.5].
    """

    name: str
    images: int
    worth: float
    drawn_from: float
    discordance: float
    smallest: float | None
    margin: float


@dataclass(frozen=True)
class TaskTold:
    """What can be told of a task: the smallest difference in mean per-class accuracy by one test subset, None where
    none is told, and by the harness with so many `seeds`, never less than the `limit`; `variance` of the mean on one
    subset. `likeness` is assumed within groups, and `spread` over seeds.
    """

    name: str
    classes: list[Told]
    untested: list[str]
    likeness: float
    spread: float
    variance: float
    limit: float | None
    smallest: float | None
    seeds: dict[int, float | None]


def told_by_test(facts: Facts, near: Near) -> list[TaskTold]:
    """Of each task what its test subset can tell, where methods differ as they did in the nearest table."""
    return [_of_task(facts, task, near.task(task.name)) for task in facts.tasks]


def mean_of_tasks(tasks: Sequence[TaskTold], seeds: int) -> float | None:
    """The smallest difference in the mean over all tasks that the harness tells, were the gains of tasks independent;
    None where a task tells none.
    """
    limits = [task.limit for task in tasks if task.limit is not None]
    if len(limits) < len(tasks):
        return None
    of_test, spreads = [task.variance for task in tasks], [task.spread for task in tasks]
    found = of_seeds(sum(of_test), math.hypot(*spreads), seeds) / len(tasks)
    return _at_least(math.hypot(*limits) / len(tasks), found)


def _of_task(facts: Facts, task: TaskFacts, like: MeasuredTask) -> TaskTold:
    likeness = ONE if like.likeness is None else like.likeness
    few, rest = like.discordance if task.ratio >= EVEN else 2 * [sum(like.discordance) / 2]
    minority = set(task.imbalance.minority)
    classes = [_of_class(facts, one, likeness, few if one.name in minority else rest) for one in task.classes]
    tested = [one for one in classes if one.worth]
    worth, discordance = [one.worth for one in tested], [one.discordance for one in tested]
    of_test, spread = variance(worth, discordance) if tested else 0.0, like.spread or 0.0
    # Test subsets of many seeds are drawn from the same images: together they know no more than all of these.
    limit = of_mean([one.worth * one.drawn_from for one in tested], discordance)
    return TaskTold(
        task.name,
        sorted(classes, key=lambda one: one.worth),
        [one.name for one in classes if not one.worth],
        likeness,
        spread,
        of_test,
        limit,
        of_mean(worth, discordance),
        {seeds: _at_least(limit, of_seeds(of_test, spread, seeds)) for seeds in SEEDS},
    )


def _at_least(limit: float | None, found: float) -> float | None:
    return None if limit is None or max(limit, found) > 1 else max(limit, found)


def _of_class(facts: Facts, one: ClassFacts, likeness: float, discordance: float) -> Told:
    worth = one.effective(likeness)
    drawn_from = 1.0 if facts.test_is_official or not one.test else one.images / one.test
    smallest = of_class(math.floor(worth), discordance)
    return Told(one.name, one.test, worth, drawn_from, discordance, smallest, margin(worth))
