"""The audit of a labelled set as a whole, as plain data."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from longtail.audit.checked import alike
from longtail.audit.duplicates import Copy, duplicates
from longtail.audit.measurable import margin
from longtail.audit.neighbours import Neighbours, neighbours
from longtail.audit.suspects import K, Suspects, suspects, votes
from longtail.data.dataset import Task
from longtail.granularity.distance import Ints, Points

MARGIN = 0.1  # an accuracy within ± 10 points


@dataclass(frozen=True)
class TestedClass:
    """A class, and how many test images of how many groups it has; `margin`: half the widest 95 % interval of its
    accuracy, in (0, 0.5]. Images of a group are alike, so groups count.
    """

    name: str
    images: int
    groups: int
    margin: float


@dataclass(frozen=True)
class TaskAudit:
    """Of a task: labels that may be wrong; and its classes, the one that can be measured worst first, empty without a
    test subset.
    """

    name: str
    classes: Sequence[str]
    suspects: Suspects
    tested: list[TestedClass]

    def small(self, most: float = MARGIN) -> list[TestedClass]:
        """The classes whose accuracy the test subset cannot tell within ± `most`."""
        return [one for one in self.tested if one.margin > most]


@dataclass(frozen=True)
class Audit:
    """Of `images`, compared by `by`: `copies` of images in other groups, a pair being one below the ratio `limit`, 0
    where none can be judged; and each task. `across` of the copies lie in two subsets, `conflicts` have two classes of
    a task.
    """

    images: int
    by: str
    copies: list[Copy]
    limit: float
    tasks: list[TaskAudit]
    across: set[Copy] = field(default_factory=set)
    conflicts: Mapping[str, set[Copy]] = field(default_factory=dict)

    @property
    def conflicting(self) -> set[Copy]:
        """The copies that have two classes of any task."""
        return set().union(*self.conflicts.values())


def audited(
    samples: pd.DataFrame,
    labels: Mapping[str, Ints],
    tasks: Sequence[Task],
    points: Points | None,
    by: str,
    *,
    judged: Mapping[str, Suspects] | None = None,
    pixels: Callable[[Ints], Points] | None = None,
) -> Audit:
    """The audit of samples (n rows: group, subset) with these class codes (n,) of each task, −1 missing, and points
    (n, d); None: copies are not looked for, which takes n² distances.

    Suspects are found by the neighbours' labels; `judged`: they are known from what saw no label of them. `pixels`:
    those of some samples (m, d), by which pairs are looked at again; of an embedding that was trained they have to be.
    """
    groups = samples["group"].to_numpy().astype(str)
    found = None if points is None else neighbours(points, groups, K)
    copies, limit = ([], 0.0) if found is None or (pixels is not None and _collapsed(found)) else duplicates(found)
    if pixels is not None and found is not None:
        copies = alike(copies, found, pixels)
    subsets = samples["subset"].astype(object).where(samples["subset"].notna(), None).to_numpy()

    def suspects_of(task: Task) -> Suspects:
        if judged:
            return judged[task.name]
        assert found is not None, "without neighbours somebody has to have judged"
        return suspects(votes(found, labels[task.name], groups, len(task.classes)), labels[task.name])

    by_task = [
        TaskAudit(
            task.name,
            task.classes,
            suspects_of(task),
            tested(task, labels[task.name], subsets == "test", samples["group"]),
        )
        for task in tasks
    ]
    conflicts = {task.name: {copy for copy in copies if _differ(labels[task.name], copy)} for task in tasks}
    across = {copy for copy in copies if subsets[copy.first] != subsets[copy.second]}
    return Audit(len(samples), by, copies, limit, by_task, across, conflicts)


def _collapsed(found: Neighbours) -> bool:
    """Whether most points are equal to another's: then equal points tell of no copy."""
    return bool((found.distances[:, 0] == 0).mean() > 0.5)


def _differ(labels: Ints, copy: Copy) -> bool:
    pair = labels[[copy.first, copy.second]]
    return bool((pair >= 0).all() and pair[0] != pair[1])


def tested(task: Task, labels: Ints, in_test: npt.NDArray[np.bool_], groups: "pd.Series[str]") -> list[TestedClass]:
    """The classes of a task, but the background, by what the test subset can tell of them, the least first."""
    if not in_test.any():
        return []
    table = pd.DataFrame({"code": labels[in_test], "group": groups.to_numpy()[in_test]})
    images, different = table.groupby("code").size(), table.groupby("code")["group"].nunique()
    found = [
        TestedClass(name, int(images.get(code, 0)), int(different.get(code, 0)), margin(int(different.get(code, 0))))
        for code, name in enumerate(task.classes)
        if name != task.background
    ]
    return sorted(found, key=lambda one: one.groups)
