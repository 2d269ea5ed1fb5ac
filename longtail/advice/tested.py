"""What the test subset of a data set can tell, class by class and in the mean, before anything is trained."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from longtail.advice.detectable import of_class, of_mean, of_seeds, variance
from longtail.advice.facts import EVEN, ClassFacts, Facts, TaskFacts
from longtail.advice.measured import MeasuredTask
from longtail.advice.nearest import Near

SEEDS = (3, 5, 10)
ONE = 1.0  # likeness: groups of which nothing is known count as one image


@dataclass(frozen=True)
class Told:
    """What can be told of a class: `worth` so many independent test images; the smallest difference in its accuracy,
    None where none is told.
    """

    name: str
    images: int
    worth: float
    discordance: float
    smallest: float | None


@dataclass(frozen=True)
class TaskTold:
    """What can be told of a task: the smallest difference in mean per-class accuracy by one test subset, None where
    none is told, and by the harness with so many `seeds`; `variance` of the mean on one subset. `likeness` is assumed
    within groups, and `spread` over seeds.
    """

    name: str
    classes: list[Told]
    untested: list[str]
    likeness: float
    spread: float
    variance: float
    smallest: float | None
    seeds: dict[int, float | None]


def told_by_test(facts: Facts, near: Near) -> list[TaskTold]:
    """Of each task what its test subset can tell, where methods differ as they did in the nearest table."""
    return [_of_task(facts, task, near.task(task.name)) for task in facts.tasks]


def mean_of_tasks(facts: Facts, tasks: Sequence[TaskTold], seeds: int) -> float | None:
    """The smallest difference in the mean over all tasks that the harness tells, were the gains of tasks independent;
    None where a task tells none.
    """
    if any(task.smallest is None for task in tasks):
        return None
    count = len(tasks)
    spread = math.sqrt(sum(task.spread**2 for task in tasks)) / count
    return _by_seeds(facts, sum(task.variance for task in tasks) / count**2, spread, None, seeds)


def _of_task(facts: Facts, task: TaskFacts, like: MeasuredTask) -> TaskTold:
    likeness = ONE if like.likeness is None else like.likeness
    few, rest = like.discordance if task.ratio >= EVEN else 2 * [sum(like.discordance) / 2]
    minority = set(task.imbalance.minority)
    classes = [_of_class(one, likeness, few if one.name in minority else rest) for one in task.classes]
    tested = [one for one in classes if one.worth]
    worth, discordance = [one.worth for one in tested], [one.discordance for one in tested]
    smallest = of_mean(worth, discordance)
    of_test, spread = variance(worth, discordance) if tested else 0.0, like.spread or 0.0
    return TaskTold(
        task.name,
        sorted(classes, key=lambda one: one.worth),
        [one.name for one in classes if not one.worth],
        likeness,
        spread,
        of_test,
        smallest,
        {seeds: None if smallest is None else _by_seeds(facts, of_test, spread, smallest, seeds) for seeds in SEEDS},
    )


def _of_class(one: ClassFacts, likeness: float, discordance: float) -> Told:
    worth = one.effective(likeness)
    return Told(one.name, one.test, worth, discordance, of_class(math.floor(worth), discordance))


def _by_seeds(facts: Facts, of_test: float, spread: float, smallest: float | None, seeds: int) -> float:
    """A difference has to hold over seeds; and where all of them test on the same images, on those too."""
    found = of_seeds(of_test, spread, seeds)
    return max(found, smallest) if smallest and facts.test_is_official else found
