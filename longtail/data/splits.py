"""Train, validation and test: grouped, stratified over one or many tasks, seeded.

samples.parquet   one row a sample in use: row (in the packed dataset), id, group, subset, one column a task, and for
                  a task with hard negatives `rejected:TASK`
split.json        the tasks; per subset and task the class counts and imbalance measures
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import BaseModel, Field

from longtail.artifacts.reading import UNREADABLE, reason
from longtail.data.dataset import SUBSETS, Task, codes, rejected_codes, rejected_column
from longtail.data.imbalance import ImbalanceMeasures, measure
from longtail.data.interventions import ChosenClasses, HiddenLabels, Injected, RareClasses
from longtail.errors import DataError

Ints = npt.NDArray[np.int64]
NAMED = 6  # tasks in a sentence


class SubsetCounts(BaseModel):
    """The number of samples of a subset; per task the count of every class, and the imbalance measures (Eq. 6–7) of
    the classes that are not background.
    """

    samples: int
    counts: dict[str, list[int]]
    tasks: dict[str, ImbalanceMeasures]


class SplitInfo(BaseModel):
    """What split.json holds; `injected`, `rare`, `hidden` and `chosen` where the split has changed the data's own
    classes.
    """

    format_version: int = 1
    tasks: list[Task]
    subsets: dict[str, SubsetCounts]
    injected: Injected | None = None
    rare: RareClasses | None = Field(None, exclude_if=lambda value: value is None)
    hidden: list[HiddenLabels] = Field([], exclude_if=lambda value: not value)
    chosen: list[ChosenClasses] = Field([], exclude_if=lambda value: not value)

    def sentences(self) -> list[str]:
        """What the split has changed of its data, and of how many images it has no label."""
        changes = [*self.chosen, self.rare, self.injected, *self.hidden]
        return [*(change.sentence() for change in changes if change is not None), *self._unlabelled()]

    def missing(self) -> dict[str, int]:
        """By task how many samples have no label, of tasks in which some have none."""
        found: dict[str, int] = {}
        for task in self.tasks:
            count = sum(of.samples - sum(of.counts[task.name]) for of in self.subsets.values())
            found |= {task.name: count} if count else {}
        return found

    def _unlabelled(self) -> list[str]:
        most = sorted(self.missing().items(), key=lambda one: -one[1])
        if not most:
            return []
        told = ", ".join(f"{count:,} of {name}" for name, count in most[:NAMED])
        more = f" and fewer of {len(most) - NAMED} more tasks" if len(most) > NAMED else ""
        total = sum(of.samples for of in self.subsets.values())
        return [f"of {total:,} images some have no label: {told}{more}"]


class Split:
    """A split on disk: the small table that every later stage reads; embeddings are aligned with its rows."""

    def __init__(self, samples: pd.DataFrame, info: SplitInfo) -> None:
        self.samples = samples
        self.info = info
        self.tasks = info.tasks
        self.subset = samples["subset"].to_numpy(dtype=str)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the directory `path`. Raises DataError if it holds no split."""
        try:
            info = SplitInfo.model_validate_json((path / "split.json").read_text(encoding="utf-8"))
            return cls(pd.read_parquet(path / "samples.parquet"), info)
        except UNREADABLE as error:
            why = reason(error, "split.json")
            raise DataError(f"{path} is not a split: {why}; make it with `longtail split`") from error

    def write(self, path: Path) -> None:
        """Write into the directory `path`."""
        path.mkdir(parents=True, exist_ok=True)
        self.samples.to_parquet(path / "samples.parquet", index=False)
        (path / "split.json").write_text(self.info.model_dump_json(indent=1) + "\n", encoding="utf-8")

    def labels(self, task: Task) -> Ints:
        """Class codes in the order of the task's classes; −1 where missing. Shape (samples,)."""
        return codes(self.samples, task)

    @cached_property
    def groups(self) -> Ints:
        """The number of each sample's group, in the order of the groups' names. Shape (samples,)."""
        return pd.factorize(self.samples["group"], sort=True)[0].astype(np.int64)

    def positions(self, subset: str) -> Ints:
        """Positions, in this table, of the samples of a subset."""
        return np.flatnonzero(self.subset == subset)

    def scored_labels(self, task: Task, subset: str) -> Ints:
        """As `labels`, but −1 for whatever is not in the subset, and for the background class."""
        wanted = (self.subset == subset) & (self.samples[task.name].astype(object) != task.background).to_numpy()
        return np.where(wanted, self.labels(task), -1)

    def train_labels(self, task: Task) -> Ints:
        """As `labels`, but −1 for whatever is not in the training subset."""
        return self.labels_of(task, "train")

    def labels_of(self, task: Task, subset: str) -> Ints:
        """As `labels`, but −1 for whatever is not in the subset; those of the background class are among them."""
        return np.where(self.subset == subset, self.labels(task), -1)

    def negatives(self, task: Task) -> Ints:
        """The class (samples,) that people looked at a training sample as, when they said that it is none; −1 for all
        that is no hard negative.
        """
        return np.where(self.subset == "train", rejected_codes(self.samples, task), -1)


def make_split(
    samples: pd.DataFrame,
    subset: npt.NDArray[np.str_],
    tasks: list[Task],
    injected: Injected | None = None,
    rare: RareClasses | None = None,
    hidden: Sequence[HiddenLabels] = (),
    chosen: Sequence[ChosenClasses] = (),
) -> Split:
    """The split that gives the samples of a packed dataset those subsets; an empty string leaves a sample out."""
    used = np.flatnonzero(subset != "")
    names = [task.name for task in tasks]
    rejected = [column for name in names if (column := rejected_column(name)) in samples.columns]
    table = samples.iloc[used][["id", "group", *names, *rejected]].reset_index(drop=True)
    table.insert(0, "row", used.astype(np.int64))
    table.insert(3, "subset", pd.Series(pd.Categorical(subset[used], categories=list(SUBSETS))))
    counts = {name: _count(table[table["subset"] == name], tasks) for name in SUBSETS}
    info = SplitInfo(
        tasks=tasks, subsets=counts, injected=injected, rare=rare, hidden=list(hidden), chosen=list(chosen)
    )
    return Split(table, info)


def check_every_class(
    subset: npt.NDArray[np.str_],
    labels: dict[str, Ints],
    tasks: list[Task],
    groups: Ints,
    background_in: Sequence[str] = SUBSETS,
) -> None:
    """Raise DataError, naming the class and its count, if a class is missing from a subset, or the background class
    from one of `background_in`.
    """
    for task in tasks:
        codes_ = labels[task.name]
        found = counts_by_subset(subset, codes_, len(task.classes))
        for code, name in enumerate(task.classes):
            needed = background_in if name == task.background else SUBSETS
            absent = [s for s in needed if not found[s][code]]
            if absent:
                of_class = codes_ == code
                raise DataError(
                    f"class {name!r} of task {task.name!r} has {of_class.sum()} samples in "
                    f"{len(np.unique(groups[of_class]))} groups and none in {' and '.join(absent)}; "
                    "drop or merge the class, or give that subset a larger share"
                )


def counts_by_subset(subset: npt.NDArray[np.str_], labels: Ints, classes: int) -> dict[str, Ints]:
    """How many samples of each class, (classes,), a subset has; `labels` (n,) class codes, −1 missing."""
    return {name: np.bincount(labels[(labels >= 0) & (subset == name)], minlength=classes) for name in SUBSETS}


def stratify(
    labels: list[Ints], groups: Ints, shares: dict[str, float], rng: np.random.Generator
) -> npt.NDArray[np.str_]:
    """Assign every group to a subset by iterative stratification, the rarest class first, and of a class the largest
    groups: those of one power of two are equals, in random order, or else the sizes alone would decide.

    Parameters: `labels` one array (n,) a task, −1 missing; `groups` (n,) codes; `shares` sum to 1.
    Source: Sechidis, Tsoumakas and Vlahavas 2011, with groups in the place of instances and (task, class) as labels.
    """
    sizes = np.bincount(groups)
    order = rng.permutation(len(sizes))
    order = order[np.argsort(-np.frexp(sizes[order])[1], kind="stable")]
    table = group_counts(labels, groups)[order]  # its rows in the order in which groups are assigned
    columns = table.tocsc()
    wanted = np.outer(np.array(list(shares.values())), table.sum(0)).astype(np.float64)
    assigned = np.full(len(sizes), -1)
    # The last column counts all samples: groups without any label come last.
    rarest = [*np.argsort(np.diff(columns.indptr)[:-1], kind="stable"), table.shape[1] - 1]
    for column in rarest:
        for row in columns.indices[slice(*columns.indptr[column : column + 2])]:
            if assigned[order[row]] < 0:
                best = int(np.lexsort((-wanted[:, -1], -wanted[:, column]))[0])
                assigned[order[row]] = best
                here = slice(*table.indptr[row : row + 2])
                wanted[best, table.indices[here]] -= table.data[here]
    names: npt.NDArray[np.str_] = np.array(list(shares))
    of_samples: npt.NDArray[np.str_] = names[assigned[groups]]
    return of_samples


def group_counts(labels: list[Ints], groups: Ints) -> Any:
    """Groups × (classes of all tasks, then all samples), sparse: how many samples of each a group has."""
    from scipy.sparse import coo_array

    starts = np.cumsum([0, *(codes_.max(initial=-1) + 1 for codes_ in labels)])
    known = [codes_ >= 0 for codes_ in labels]
    columns = [start + codes_[mask] for start, codes_, mask in zip(starts, labels, known, strict=False)]
    rows = np.concatenate([*(groups[mask] for mask in known), groups])
    places = np.concatenate([*columns, np.full(len(groups), starts[-1])])
    shape = (int(groups.max()) + 1, int(starts[-1]) + 1)
    return coo_array((np.ones(len(rows), dtype=np.int64), (rows, places)), shape=shape).tocsr()


def _count(samples: pd.DataFrame, tasks: list[Task]) -> SubsetCounts:
    counts, measures = {}, {}
    for task in tasks:
        known = codes(samples, task)
        of_classes = np.bincount(known[known >= 0], minlength=len(task.classes)).tolist()
        counts[task.name] = of_classes
        foreground = {c: n for c, n in zip(task.classes, of_classes, strict=True) if c != task.background}
        measures[task.name] = measure(list(foreground.values()), list(foreground))
    return SubsetCounts(samples=len(samples), counts=counts, tasks=measures)
