"""Classes of a task that a split is of, where it is not to be of all: those of a source that are like a target."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from longtail.data.dataset import Task, rejected_column
from longtail.data.interventions import ChosenClasses
from longtail.errors import DataError
from longtail.sources.quoting import listed

Bools = npt.NDArray[np.bool_]


def choose_classes(
    samples: pd.DataFrame, tasks: Sequence[Task], classes: Mapping[str, Sequence[str]]
) -> tuple[pd.DataFrame, list[Task], Bools, list[ChosenClasses]]:
    """The samples and the tasks with their chosen classes alone, in their own order; which samples (n,) have a class
    that is not chosen, and so are left out; and what to say of it. A sample without a label stays.

    Raises DataError for a task or class that there is not, and for fewer than two classes.
    """
    if unknown := set(classes) - {task.name for task in tasks}:
        known = listed(task.name for task in tasks)
        raise DataError(f"split.classes names the task(s) {listed(sorted(unknown))}; the tasks are {known}")
    samples, changed, out, said = samples.copy(), [], np.zeros(len(samples), np.bool_), []
    for task in tasks:
        changed.append(_chosen(task, classes[task.name]) if task.name in classes else task)
        if task.name in classes:
            labelled = samples[task.name].notna()
            for column in {task.name, rejected_column(task.name)} & set(samples.columns):
                samples[column] = samples[column].cat.set_categories(changed[-1].classes)
            of_others = (labelled & samples[task.name].isna()).to_numpy()
            out |= of_others
            counts = {"chosen": len(changed[-1].classes), "of": len(task.classes), "left_out": int(of_others.sum())}
            said.append(ChosenClasses(task=task.name, **counts))
    return samples, changed, out, said


def _chosen(task: Task, names: Sequence[str]) -> Task:
    if unknown := [name for name in names if name not in task.classes]:
        raise DataError(f"split.classes.{task.name} names {listed(unknown)}, which are no classes of that task")
    kept = [name for name in task.classes if name in names]
    if len(kept) < 2:
        raise DataError(f"split.classes.{task.name} names {listed(kept)}; choose two classes or more")
    return Task(name=task.name, classes=kept, background=task.background if task.background in kept else None)
