"""Classes that are too rare for three subsets: each is given a sample in every subset, or becomes background.

Source: SilkNet (multi-task), section 4: every subset has a sample of each class of each variable; a class that cannot
becomes the variable's background, which is not the same as unknown.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from longtail.data.dataset import SUBSETS, Task, codes, rejected_codes
from longtail.data.interventions import RareClass, RareClasses
from longtail.data.splits import counts_by_subset, group_counts
from longtail.errors import DataError

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Subsets = npt.NDArray[np.str_]
# Of 1,500 drawn tables of up to 8 groups, 19 fell short of the best division with 0, 2 with 1, none with 2.
CHAIN = 2
BACKGROUND = "background"  # the class of a task that has no background class of its own


class Divided(NamedTuple):
    """Samples, their tasks and the subset of each, "" where it is left out; `rare` says what became background."""

    samples: pd.DataFrame
    tasks: list[Task]
    subset: Subsets
    rare: RareClasses | None = None


def cover(
    subset: Subsets, labels: Sequence[Ints], groups: Ints, drawn: Sequence[str], fixed: Bools | None = None
) -> Subsets:
    """The subsets once single groups have moved so that classes of three groups or more have a sample in each.

    Groups move between the `drawn` subsets alone, and not those with a sample that is `fixed` (n,). No move takes a
    class's last sample from a subset, unless others make up for it. Where no move helps any more, the class of the
    fewest groups is given up, and its groups serve the others. No chance is in it.
    """
    table = group_counts(list(labels), groups)
    sizes = table[:, [-1]].toarray()[:, 0]
    first = np.unique(groups, return_index=True)[1]
    of_groups = pd.Categorical(subset[first], categories=list(SUBSETS)).codes.astype(np.int64)
    still = np.zeros(len(first), np.bool_)
    if fixed is not None:
        still[groups[fixed]] = True
    state = _Cover((table[:, :-1] > 0).tocsr(), sizes, of_groups, np.isin(SUBSETS, drawn), still)
    while (lacking := state.lacking()).size:
        if not state.improve(lacking):
            state.give_up(int(lacking[0]))
    return np.array(SUBSETS)[state.subset][groups]


class _Cover:
    """Which of the classes (columns of all tasks) each group holds, and how many groups of each a subset holds."""

    def __init__(self, holds: Any, sizes: Ints, subset: Ints, free: Bools, still: Bools) -> None:
        """`holds` (groups, classes) sparse; `sizes` (groups,) samples; `subset` (groups,) codes; `free` (subsets,);
        `still` (groups,): those that stay.
        """
        self.sizes, self.subset, self.free, self.still = sizes, subset, free, still
        self._moves: list[tuple[int, int]] = []  # each group that has moved, and where it was
        self._rows, columns = holds, holds.tocsc()
        self._groups = [columns.indices[slice(*columns.indptr[c : c + 2])] for c in range(holds.shape[1])]
        self.held = np.zeros((len(free), holds.shape[1]), np.int64)
        rows, classes = holds.nonzero()
        np.add.at(self.held, (subset[rows], classes), 1)
        absent = self.held == 0
        self._wanted = (self.held.sum(0) >= len(free)) & ~absent[~free].any(0)

    def lacking(self) -> Ints:
        """The classes that are to be in every subset and are not, those of the fewest groups first."""
        found = np.flatnonzero(self._wanted & (self.held == 0).any(0))
        return found[np.argsort(self.held.sum(0)[found], kind="stable")]

    def improve(self, lacking: Ints) -> bool:
        """Bring each of the classes to where it lacks, if that can be; whether one could."""
        where = [(int(c), int(to)) for c in lacking for to in np.flatnonzero(self.held[:, c] == 0)]
        brought = [self._bring(c, to, CHAIN) for c, to in where]
        return any(brought)

    def give_up(self, c: int) -> None:
        """Ask no longer that the class is in every subset."""
        self._wanted[c] = False

    def _bring(self, c: int, to: int, chain: int) -> bool:
        """Move a group of the class, from the subset that has most of them, the smallest first. Where it was the last
        of other classes, `chain` groups at most make up for it. If that fails, all is as it was.
        """
        if self.held[to, c]:
            return True
        ready = [g for g in self._groups[c] if self.free[self.subset[g]] and not self.still[g]]
        for group in sorted(ready, key=lambda g: (-self.held[self.subset[g], c], self.sizes[g], g)):
            source, before = int(self.subset[group]), len(self._moves)
            self._put(group, to)
            held = self._classes(group)
            lost = held[self._wanted[held] & (self.held[source, held] == 0)]
            if not len(lost) or (chain and all(self._bring(int(y), source, chain - 1) for y in lost)):
                return True
            while len(self._moves) > before:
                self._put(*self._moves[-1])
                del self._moves[-2:]
        return False

    def _put(self, group: int, to: int) -> None:
        held = self._classes(group)
        self._moves.append((group, int(self.subset[group])))
        self.held[self.subset[group], held] -= 1
        self.held[to, held] += 1
        self.subset[group] = to

    def _classes(self, group: int) -> Ints:
        classes: Ints = self._rows.indices[slice(*self._rows.indptr[group : group + 2])]
        return classes


def to_background(samples: pd.DataFrame, subset: Subsets, tasks: Sequence[Task], groups: Ints) -> Divided:
    """Turn the classes that are missing from a subset into background.

    A sample whose labels are all of such classes, and which is no hard negative of another, is left out. A task has a
    background class only if a training sample has it: with none, there is nothing to learn it from, and its labels
    count as missing.
    """
    labels = {task.name: codes(samples, task) for task in tasks}
    rare = {task.name: _absent(subset, labels[task.name], task) for task in tasks}
    is_rare = {name: np.isin(labels[name], rare[name]) for name in labels}
    known = np.any([(labels[name] >= 0) & ~is_rare[name] for name in labels], axis=0)
    rejected = {task.name: rejected_codes(samples, task) for task in tasks}
    known |= np.any([(of >= 0) & ~np.isin(of, rare[name]) for name, of in rejected.items()], axis=0)
    alone = np.any(list(is_rare.values()), axis=0) & ~known
    kept, samples, negatives = np.where(alone, "", subset), samples.copy(), 0
    changed, found = [], []
    for task in tasks:
        new, samples[task.name] = _with_background(samples[task.name], task, rare[task.name], kept == "train")
        changed.append(new)
        gone = [code for code, name in enumerate(task.classes) if name not in new.classes]
        found += [_rare_class(task, code, labels[task.name], groups) for code in gone]
        negatives += int((np.isin(rejected[task.name], gone) & (kept != "")).sum())
    rarest = RareClasses(classes=found, left_out=int(alone.sum()), negatives=negatives) if found else None
    return Divided(samples, changed, kept, rarest)


def check_classes_left(tasks: Sequence[Task], rare: RareClasses | None) -> None:
    """Raise DataError for a task that background has left fewer than two classes to tell apart."""
    for task in tasks:
        left = [name for name in task.classes if name != task.background]
        if rare is not None and len(left) < 2 and any(one.task == task.name for one in rare.classes):
            raise DataError(
                f"task {task.name!r} has fewer than two classes that are in every subset ({left}); leave it out with "
                "`split.tasks`, or merge its classes"
            )


def _absent(subset: Subsets, labels: Ints, task: Task) -> Ints:
    """The codes of the classes, background apart, that a subset lacks."""
    counts = counts_by_subset(subset, labels, len(task.classes))
    foreground = np.array([name != task.background for name in task.classes])
    return np.flatnonzero(foreground & (np.stack(list(counts.values())) == 0).any(0))


def _rare_class(task: Task, code: int, labels: Ints, groups: Ints) -> RareClass:
    of_class = labels == code
    many = len(np.unique(groups[of_class]))
    return RareClass(task=task.name, name=task.classes[code], samples=int(of_class.sum()), groups=many)


def _with_background(column: "pd.Series[Any]", task: Task, rare: Ints, train: Bools) -> tuple[Task, Any]:
    """The task and its column, `rare` classes background, or missing where no training sample would have that."""
    if task.background is None and BACKGROUND in task.classes and len(rare):
        raise DataError(
            f"task {task.name!r} has a class {BACKGROUND!r} of its own; say that it is the background with "
            "`background` of its source, or call it otherwise"
        )
    background = task.background or BACKGROUND
    gone = {task.classes[code] for code in rare}
    values = column.astype(object).where(~column.isin(gone), background)
    learned = bool((values[train] == background).any())
    classes = [name for name in task.classes if name not in gone and name != background]
    if learned:
        place = task.classes.index(background) if task.background else len(classes)
        classes.insert(place, background)
    new = Task(name=task.name, classes=classes, background=background if learned else None)
    return new, pd.Categorical(values.where(values.isin(classes)), categories=classes)
