"""All that `longtail advise` finds, as data."""

from dataclasses import dataclass
from pathlib import Path

from longtail.advice.collect import Collection, to_collect
from longtail.advice.experiment import pretrained
from longtail.advice.facts import Facts, facts
from longtail.advice.ladder import Plan, plan
from longtail.advice.measured import tables
from longtail.advice.nearest import Near, nearest
from longtail.advice.tested import TaskTold, mean_of_tasks, told_by_test

SEEDS = 3  # of the experiment that is written


@dataclass(frozen=True)
class Advice:
    """What is in a data set; the nearest measured one, and the distances of the others; what the test subset can tell
    (`mean`: of the mean over the tasks, with the harness's seeds); the ladder; what to collect; and the distance and
    similarity of the data to what the network was pretrained on, None where that is not known.
    """

    facts: Facts
    near: Near
    others: dict[str, float]
    told: list[TaskTold]
    mean: float | None
    plan: Plan
    collect: list[Collection]
    pretraining: tuple[float, float] | None


def advise(
    dataset: Path,
    features: Path | None = None,
    split: Path | None = None,
    pretraining: tuple[float, float] | None = None,
    *,
    difference: float,
) -> Advice:
    """The advice on a packed data set; `difference`, in (0, 1], is the one in a class's accuracy that is to be told.
    Raises DataError as `facts`.
    """
    found = facts(dataset, features, split)
    near, *others = nearest(found, pretrained(found, features), tables())
    told = told_by_test(found, near)
    return Advice(
        found,
        near,
        {other.table.name: other.distance for other in others},
        told,
        mean_of_tasks(found, told, SEEDS),
        plan(found, near),
        to_collect(found, told, difference),
        pretraining,
    )
