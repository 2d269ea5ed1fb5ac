"""What a classifier says of its test samples, as a table that outlives the run, and the paired test of two of them.

A row is a test sample. Columns: `data`, the md5 of its data set; `id`, `group`; of each task `<task>.true`, empty where
the label is missing or the background class, and `<task>.said`. Classes are categories in the task's order.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from longtail.metrics.significance import Answers, Difference, joined, paired_difference

Ints = npt.NDArray[np.int64]

TRUE, SAID = ".true", ".said"


def answered(task: str, classes: list[str], truth: Ints, said: Ints) -> dict[str, "pd.Categorical[str]"]:
    """The two columns of a task, from class codes, −1 in `truth` for what is not scored."""
    codes = {task + TRUE: truth, task + SAID: said}
    return {name: pd.Categorical.from_codes(of, categories=pd.Index(classes)) for name, of in codes.items()}


def answers_of(data: str, samples: pd.DataFrame, columns: Mapping[str, "pd.Categorical[str]"]) -> pd.DataFrame:
    """The table of these test samples (`id`, `group`) with the columns of all tasks."""
    return samples[["id", "group"]].astype(str).reset_index(drop=True).assign(data=data, **columns)


def same_test(first: pd.DataFrame, second: pd.DataFrame) -> bool:
    """Whether two classifiers were tested on the same samples, with the same labels and groups."""
    of_first, of_second = (table.drop(columns=[task + SAID for task in _tasks(table)]) for table in (first, second))
    return of_first.astype(object).equals(of_second.astype(object))


def compared(first: pd.DataFrame, second: pd.DataFrame) -> Difference:
    """The paired test of two classifiers on the same test, as a report has it: over the mean of the tasks."""
    groups = first["group"].to_numpy(np.str_)
    answers, sizes = [], []
    for task in _tasks(first):
        truth = first[task + TRUE]
        if truth.notna().any():
            classes = truth.cat.categories
            one, other = (_codes(table[task + SAID], classes) for table in (first, second))
            answers.append(Answers(_codes(truth, classes), one, other, groups))
            sizes.append(len(classes))
    whole, weights = joined(answers, sizes)
    return paired_difference([whole], weights=weights)


def _tasks(table: pd.DataFrame) -> list[str]:
    return [name.removesuffix(TRUE) for name in map(str, table) if name.endswith(TRUE)]


def _codes(said: "pd.Series[str]", classes: "pd.Index[str]") -> Ints:
    # Parquet need not keep classes that nobody names, nor their order.
    return pd.Categorical(said, categories=classes).codes.astype(np.int64)
