"""All that `longtail advise` finds, as data."""

from dataclasses import dataclass
from pathlib import Path

from longtail.advice.collect import Collection, to_collect
from longtail.advice.experiment import pretrained
from longtail.advice.facts import Facts, facts
from longtail.advice.ladder import Plan, plan
from longtail.advice.measured import tables
from longtail.advice.nearest import Near, nearest
from longtail.advice.pretraining import Pretraining, to_pretraining
from longtail.advice.tested import TaskTold, mean_of_tasks, told_by_test

SEEDS = 3  # of the experiment that is written


@dataclass(frozen=True)
class Advice:
    """What is in a data set; the nearest measured one, and the distances of the others; what the test subset can tell
    (`mean`: of the mean over the tasks, with the harness's seeds; `largest`: the largest gain that any table has); the
    ladder; what to collect; whether trainings begin with `pretrained` weights; and how similar the data are to what
    those were trained on, None where that is not known.
    """

    facts: Facts
    near: Near
    others: dict[str, float]
    told: list[TaskTold]
    mean: float | None
    plan: Plan
    collect: list[Collection]
    largest: float
    pretrained: bool
    pretraining: Pretraining | None

    @property
    def useless(self) -> bool:
        """Whether the test subset tells no difference of a size that was ever measured, with the harness's seeds."""
        told = (task.seeds[SEEDS] for task in self.told)
        return not any(least and least <= self.largest for least in told)


def advise(
    dataset: Path,
    features: Path | None = None,
    split: Path | None = None,
    pretraining: Path | None = None,
    *,
    difference: float = 0.1,
    without: str | None = None,
) -> Advice:
    """The advice on a packed data set; `difference`, in (0, 1], is the one in a class's accuracy that is to be told;
    `without`: a table to leave out, which would know too much. Raises DataError as `facts`, and `to_pretraining`.
    """
    found = facts(dataset, features, split)
    known = [table for table in tables() if table.name != without]
    begun = pretrained(found, features)
    near, *others = nearest(found, begun, known)
    told = told_by_test(found, near)
    return Advice(
        found,
        near,
        {other.table.name: other.distance for other in others},
        told,
        mean_of_tasks(told, SEEDS),
        plan(found, near),
        to_collect(found, told, difference),
        max(gain.mean for table in known for gain in table.gains.values()) / 100,
        begun,
        to_pretraining(features, split, pretraining),
    )
