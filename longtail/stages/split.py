"""Divide a packed dataset into train, validation and test; inject imbalance and hide labels where that is asked."""

import sys
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import BaseModel, Field

from longtail.data.chosen_classes import choose_classes
from longtail.data.dataset import SUBSETS, PackedDataset, Task, codes
from longtail.data.hidden_labels import HIDDEN_IN, hidden_labels
from longtail.data.injection import Balanced, Injection, choose_kept, kept_counts
from longtail.data.interventions import ChosenClasses, HiddenLabels, Injected
from longtail.data.rare_classes import Divided, check_classes_left, cover, to_background
from longtail.data.seed import Seed
from longtail.data.splits import Split, check_every_class, make_split, stratify
from longtail.errors import DataError
from longtail.sources.classes import ClassName
from longtail.sources.quoting import listed
from longtail.stages.contract import Input, Output, stage


class Params(BaseModel, extra="forbid"):
    """The `split` section of params.yaml. Official validation and test subsets are taken as they are; what lacks
    is drawn by its share from all the rest, official train included.
    """

    seed: Seed = 0
    validation: float = Field(0.1, gt=0, lt=1, description="share of the samples that are not test")
    test: float = Field(0.2, gt=0, lt=1, description="share of all samples, where there is no official test subset")
    imbalance: Injection | None = Field(
        None,
        description="to inject into train; null: what the data set itself asks for, as the embedded example does",
    )
    tasks: list[str] | None = Field(
        None, min_length=1, description="those to learn; the subsets are drawn with all, whichever are learned"
    )
    classes: dict[str, list[ClassName]] = Field(
        {},
        exclude_if=lambda value: not value,
        description="by task, the classes to use, as `longtail similarity --classes` writes them; samples of others "
        "are left out",
    )
    imbalance_task: str | None = Field(
        None, description="the task whose classes are thinned; default: the first that is learned"
    )
    imbalance_unit: Literal["group", "sample"] = Field("group", description="what is removed together")
    rare_classes: Literal["error", "background"] = Field(
        "error",
        exclude_if=lambda value: value == "error",
        description="what becomes of a class that is missing from a subset; background: groups move to give it a "
        "sample in each, and where that cannot be its labels count as the background class",
    )
    hidden: dict[str, Annotated[float, Field(gt=0, lt=1)]] = Field(
        {},
        exclude_if=lambda value: not value,
        description="by task, the share of the training and validation labels to hide at random",
    )
    hidden_together: bool = Field(
        False,
        exclude_if=lambda value: not value,
        description="whether all tasks lose labels in one order of the groups, so that those badly described lack many",
    )


@stage
def run(dataset: Input, split: Output, *, params: Params) -> dict[str, float]:
    """Write the split; return the size of each subset and the imbalance of train."""
    packed = PackedDataset.open(dataset)
    rng = np.random.default_rng(params.seed)
    groups = pd.factorize(packed.samples["group"])[0].astype(np.int64)
    _check_tasks(packed.info.tasks, params)
    data, chosen = _divided(packed, groups, params, rng)
    labels = {task.name: codes(data.samples, task) for task in data.tasks}
    learned = [task for task in data.tasks if params.tasks is None or task.name in params.tasks]
    check_classes_left(learned, data.rare)
    needed = SUBSETS if params.rare_classes == "error" else ("train",)
    check_every_class(data.subset, labels, learned, groups, background_in=needed)
    thinned = _thinned(data.tasks, learned, params.imbalance_task)
    injected = _inject(
        data.subset, thinned, labels, groups, params.imbalance_unit, params.imbalance or packed.info.imbalance, rng
    )
    check_every_class(data.subset, labels, learned, groups, background_in=needed)
    samples, hidden = _hide(data, labels, groups, params)
    made = make_split(samples, data.subset, learned, injected, data.rare, hidden, chosen)
    made.write(split)
    for sentence in made.info.sentences():
        print(f"split: {sentence}", file=sys.stderr)
    return _scalars(made)


def _scalars(split: Split) -> dict[str, float]:
    info = split.info
    report = {f"samples_{name}": float(counts.samples) for name, counts in info.subsets.items()}
    negatives = {task.name: int((split.negatives(task) >= 0).sum()) for task in split.tasks}
    report |= {f"{task}_negatives": float(count) for task, count in negatives.items() if count}
    if info.injected:
        report["injection_removed"] = float(info.injected.removed)
    if info.rare:
        report |= {"rare_classes": float(len(info.rare.classes)), "rare_left_out": float(info.rare.left_out)}
    report |= {f"{one.task}_hidden": float(one.hidden) for one in info.hidden}
    report |= {f"{task}_missing": float(count) for task, count in info.missing().items()}
    for name, measures in info.subsets["train"].tasks.items():
        scalars = {"K": measures.K, "IR": measures.IR, "minority_classes": measures.m, "BD": measures.BD}
        report |= {f"{name}_{key}": float(value) for key, value in scalars.items() if value is not None}
    return report


def _check_tasks(tasks: list[Task], params: Params) -> None:
    known = [task.name for task in tasks]
    learned = known if params.tasks is None else params.tasks
    for parameter, asked, there in (("tasks", learned, known), ("hidden", params.hidden, learned)):
        if unknown := sorted(set(asked) - set(there)):
            raise DataError(f"split.{parameter} names {listed(unknown)}; the tasks are {listed(sorted(there))}")


def _divided(
    packed: PackedDataset, groups: npt.NDArray[np.int64], params: Params, rng: np.random.Generator
) -> tuple[Divided, list[ChosenClasses]]:
    """The samples of the chosen classes in their subsets, those of rare ones as the parameters ask."""
    samples, tasks, out, chosen = choose_classes(packed.samples, packed.info.tasks, params.classes)
    labels = [codes(samples, task) for task in tasks]
    subset = _subsets(packed, labels, groups, ~out, params, rng)
    if params.rare_classes == "error":
        return Divided(samples, tasks, np.where(out, "", subset)), chosen
    official = set(samples["subset"].dropna())
    drawn = [name for name in SUBSETS if name == "train" or name not in official]
    used = np.flatnonzero(~out)
    here = np.unique(groups[used], return_inverse=True)[1].astype(np.int64)
    covered = np.where(out, "", subset)
    covered[used] = cover(subset[used], [of_task[used] for of_task in labels], here, drawn, _rejected(packed)[used])
    return to_background(samples, covered, tasks, groups), chosen


def _subsets(
    packed: PackedDataset,
    labels: list[npt.NDArray[np.int64]],
    groups: npt.NDArray[np.int64],
    used: npt.NDArray[np.bool_],
    params: Params,
    rng: np.random.Generator,
) -> npt.NDArray[np.str_]:
    """The subset of every sample: the official one where given; what has none is stratified, by groups, if `used`."""
    given = packed.samples["subset"].astype(object).where(packed.samples["subset"].notna(), "")
    subset = np.array(given, dtype="<U10")
    official = set(subset) - {""}
    free = used & ~np.isin(groups, groups[_rejected(packed)])  # hard negatives are training samples alone
    if "test" not in official:
        pool = free & np.isin(subset, ["", "train"])
        share = params.test * int(free.sum()) / max(1, int(pool.sum()))
        _draw(subset, pool, "test", min(1.0, share), labels, groups, rng)
    if "validation" not in official:
        _draw(subset, free & np.isin(subset, ["", "train"]), "validation", params.validation, labels, groups, rng)
    subset[subset == ""] = "train"
    _check_groups(subset[used], packed.samples["group"][used])
    return subset


def _rejected(packed: PackedDataset) -> npt.NDArray[np.bool_]:
    """Which samples are hard negatives of a task."""
    rejected: npt.NDArray[np.bool_] = np.any([packed.negatives(task.name) >= 0 for task in packed.info.tasks], axis=0)
    return rejected


def _draw(
    subset: npt.NDArray[np.str_],
    pool: npt.NDArray[np.bool_],
    name: str,
    share: float,
    labels: list[npt.NDArray[np.int64]],
    groups: npt.NDArray[np.int64],
    rng: np.random.Generator,
) -> None:
    """Move `share` of the pool's groups to the subset `name`, in place."""
    if not pool.any():
        raise DataError(f"no samples are left from which to draw the {name} subset; the official subsets use them all")
    here = np.unique(groups[pool], return_inverse=True)[1].astype(np.int64)
    drawn = stratify([codes[pool] for codes in labels], here, {"": 1 - share, name: share}, rng)
    rows = np.flatnonzero(pool)
    subset[rows[drawn == name]] = name


def _check_groups(subset: npt.NDArray[np.str_], groups: "pd.Series[str]") -> None:
    straddling = pd.DataFrame({"group": groups, "subset": subset}).groupby("group", observed=True)["subset"].nunique()
    bad = straddling[straddling > 1]
    if len(bad):
        raise DataError(
            f"{len(bad)} groups are in more than one official subset, the first is {bad.index[0]!r}; "
            f"a group must be in one of {', '.join(SUBSETS)} only: correct the subset column, or the group column"
        )


def _thinned(tasks: list[Task], learned: list[Task], name: str | None) -> Task:
    """The task whose classes injected imbalance thins: the one of that name or, without, the first that is learned."""
    for task in tasks:
        if task.name == (name or learned[0].name):
            return task
    raise DataError(f"split.imbalance_task is {name!r}; the tasks are {sorted(task.name for task in tasks)}")


def _inject(
    subset: npt.NDArray[np.str_],
    task: Task,
    labels: dict[str, npt.NDArray[np.int64]],
    groups: npt.NDArray[np.int64],
    unit: str,
    imbalance: Injection,
    rng: np.random.Generator,
) -> Injected | None:
    """Take samples out of train, in place, so that the task has the asked imbalance; say how many. Its background is
    no class of a long tail, and stays.
    """
    if isinstance(imbalance, Balanced):
        return None
    train = np.flatnonzero(subset == "train")
    known, foreground = labels[task.name][train], np.array([name != task.background for name in task.classes])
    codes = np.where((known >= 0) & foreground[known], (np.cumsum(foreground) - 1)[known], -1)
    units = groups[train] if unit == "group" else np.arange(len(train))
    kept = choose_kept(codes, units, kept_counts(np.bincount(codes[codes >= 0]), imbalance), rng)
    subset[train[~kept]] = ""
    return Injected(kind=imbalance.kind, task=task.name, removed=int((~kept).sum()), of=len(train))


def _hide(
    data: Divided, labels: dict[str, npt.NDArray[np.int64]], groups: npt.NDArray[np.int64], params: Params
) -> tuple[pd.DataFrame, list[HiddenLabels]]:
    """The samples without the labels to hide, and how many those are."""
    samples, records = data.samples.copy(), []
    seen = np.isin(data.subset, HIDDEN_IN)
    for name, share in params.hidden.items():
        queue = "" if params.hidden_together else name
        mask = hidden_labels(queue, labels[name], data.subset, groups, share, params.seed)
        samples[name] = samples[name].mask(mask)
        known = int((seen & (labels[name] >= 0)).sum())
        records.append(HiddenLabels(task=name, share=share, hidden=int(mask.sum()), of=known))
    return samples, records
