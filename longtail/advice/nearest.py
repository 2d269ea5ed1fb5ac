"""Which measured data set is nearest to one, by what can be known of it before anything is trained."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from longtail.advice.facts import Facts
from longtail.advice.measured import Gain, MeasuredTask, Table

FAR = 1.5  # above, a table is a hint and no more: its data differ by a factor of 30 in something, or a few in all


@dataclass(frozen=True)
class Near:
    """A table, and which of its tasks stands for each of the data set's; `distance`: 0 where all figures agree, 1 for
    every factor of ten between two, and 1 where one of the two begins with pretrained weights.
    """

    distance: float
    table: Table
    tasks: dict[str, str]

    @property
    def far(self) -> bool:
        """Whether it is too different to say more than a hint."""
        return self.distance > FAR

    def task(self, name: str) -> MeasuredTask:
        """The measured task that stands for one of the data set's."""
        return self.table.tasks[self.tasks[name]]

    def gain(self, row: str) -> Gain | None:
        """What a row of the table had over adjusted cross-entropy: of its task where one is asked, else in the mean;
        None where it was not measured.
        """
        if len(self.tasks) == 1:
            return self.task(next(iter(self.tasks))).gains.get(row)
        return self.table.gains.get(row)


def nearest(facts: Facts, pretrained: bool, tables: Iterable[Table]) -> list[Near]:
    """The tables, the nearest first; `pretrained`: whether trainings on the data set will begin with such weights."""
    return sorted((_near(facts, pretrained, table) for table in tables), key=lambda near: near.distance)


def _near(facts: Facts, pretrained: bool, table: Table) -> Near:
    found = {}
    for task in facts.tasks:
        figures = (task.train, len(task.classes), task.ratio)
        of_each = {name: _apart(figures, (one.train, one.classes, one.IR)) for name, one in table.tasks.items()}
        found[task.name] = min((distance, name) for name, distance in of_each.items())
    whole = _apart((min(facts.shape[:2]), len(facts.tasks)), (table.side, len(table.tasks)))
    mean = sum(distance for distance, _ in found.values()) / len(found)
    return Near(mean + whole + (pretrained != table.pretrained), table, {name: of for name, (_, of) in found.items()})


def _apart(first: Iterable[float], second: Iterable[float]) -> float:
    """The decades between figures of two, added up; 0 counts as 1."""
    return sum(abs(math.log10(max(1, a) / max(1, b))) for a, b in zip(first, second, strict=True))
