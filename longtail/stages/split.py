"""Divide a packed dataset into train, validation and test; inject imbalance into train where that is asked."""

import sys

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import BaseModel, Field

from longtail.data.dataset import SUBSETS, PackedDataset, Task
from longtail.data.injection import Balanced, Injection, choose_kept, kept_counts
from longtail.data.seed import Seed
from longtail.data.splits import Injected, check_every_class, make_split, stratify
from longtail.errors import DataError
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
    imbalance_task: str | None = Field(None, description="the task whose classes are thinned; default: the first")
    imbalance_unit: str = Field("group", pattern="^(group|sample)$", description="what is removed together")


@stage
def run(dataset: Input, split: Output, *, params: Params) -> dict[str, float]:
    """Write the split; return the size of each subset and the imbalance of train."""
    packed = PackedDataset.open(dataset)
    rng = np.random.default_rng(params.seed)
    labels = {task.name: packed.labels(task.name) for task in packed.info.tasks}
    learned = _kept(packed.info.tasks, params.tasks)
    groups = pd.factorize(packed.samples["group"])[0].astype(np.int64)
    subset = _subsets(packed, list(labels.values()), groups, params, rng)
    check_every_class(subset, labels, learned, groups)
    injected = _inject(subset, labels, groups, params, params.imbalance or packed.info.imbalance, rng)
    check_every_class(subset, labels, learned, groups)
    made = make_split(packed.samples, subset, learned, injected)
    made.write(split)
    report = {f"samples_{name}": float(counts.samples) for name, counts in made.info.subsets.items()}
    if injected:
        print(f"split: {injected.sentence()}", file=sys.stderr)
        report["injection_removed"] = float(injected.removed)
    for name, measures in made.info.subsets["train"].tasks.items():
        scalars = {"K": measures.K, "IR": measures.IR, "minority_classes": measures.m, "BD": measures.BD}
        report |= {f"{name}_{key}": float(value) for key, value in scalars.items() if value is not None}
    return report


def _kept(tasks: list[Task], names: list[str] | None) -> list[Task]:
    unknown = sorted(set(names or []) - {task.name for task in tasks})
    if unknown:
        raise DataError(f"split.tasks names {unknown}; the tasks are {sorted(task.name for task in tasks)}")
    return [task for task in tasks if names is None or task.name in names]


def _subsets(
    packed: PackedDataset,
    labels: list[npt.NDArray[np.int64]],
    groups: npt.NDArray[np.int64],
    params: Params,
    rng: np.random.Generator,
) -> npt.NDArray[np.str_]:
    """The subset of every sample: the official one where given; what has none is stratified, by groups."""
    given = packed.samples["subset"].astype(object).where(packed.samples["subset"].notna(), "")
    subset = np.array(given, dtype="<U10")
    official = set(subset) - {""}
    if "test" not in official:
        _draw(subset, np.isin(subset, ["", "train"]), "test", params.test, labels, groups, rng)
    if "validation" not in official:
        _draw(subset, np.isin(subset, ["", "train"]), "validation", params.validation, labels, groups, rng)
    subset[subset == ""] = "train"
    _check_groups(subset, packed.samples["group"])
    return subset


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


def _inject(
    subset: npt.NDArray[np.str_],
    labels: dict[str, npt.NDArray[np.int64]],
    groups: npt.NDArray[np.int64],
    params: Params,
    imbalance: Injection,
    rng: np.random.Generator,
) -> Injected | None:
    """Take samples out of train, in place, so that the chosen task has the asked imbalance; say how many."""
    if isinstance(imbalance, Balanced):
        return None
    name = params.imbalance_task or next(iter(labels))
    if name not in labels:
        raise DataError(f"split.imbalance_task is {name!r}; the tasks are {sorted(labels)}")
    train = np.flatnonzero(subset == "train")
    codes = labels[name][train]
    units = groups[train] if params.imbalance_unit == "group" else np.arange(len(train))
    kept = choose_kept(codes, units, kept_counts(np.bincount(codes[codes >= 0]), imbalance), rng)
    subset[train[~kept]] = ""
    return Injected(kind=imbalance.kind, task=name, removed=int((~kept).sum()), of=len(train))
