"""What the turns have brought so far: a row a turn, and one for each class in it.

summary.csv   turn, training images, their imbalance ratio, hard negatives, score on validation, and what people were
              asked and said
classes.csv   turn, class, training images of it, hard negatives that were looked at as it
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from longtail.artifacts.files import written
from longtail.bootstrapping.steps import Turn
from longtail.bootstrapping.verdicts import tally
from longtail.data.dataset import Task
from longtail.data.splits import Split
from longtail.network.snapshot import State
from longtail.rules.base import rule_class


def validation_score(turn: Turn, task: Task) -> float:
    """The mean per-class accuracy on validation of the rule that answers."""
    return rule_class(State.read(turn.index).rule).load(turn.index / "rules", task.name).score


def summary(turns: Sequence[Turn], task: Task) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both tables, of turns whose index is there. What was not asked yet is missing."""
    rows, classes = [], []
    for turn in turns:
        split = Split.open(turn.split)
        labels, negatives = split.train_labels(task), split.negatives(task)
        row: dict[str, float] = {
            "turn": turn.number,
            "images": int((labels >= 0).sum()),
            "negatives": int((negatives >= 0).sum()),
        }
        # A queue by confidence asks for the classes that are frequent already, and the tail grows longer.
        counts = np.bincount(labels[labels >= 0], minlength=len(task.classes))
        row["imbalance"] = round(counts.max() / counts.min(), 1) if counts.min() else np.nan
        row["validation"] = round(100 * validation_score(turn, task), 2)
        said = tally(turn.queue)._asdict() if turn.queue.exists() else {}
        rows.append(row | said)
        rejected = np.bincount(negatives[negatives >= 0], minlength=len(task.classes))
        per_class = zip(task.classes, counts, rejected, strict=True)
        classes += [{"turn": turn.number, "class": name, "images": own, "negatives": no} for name, own, no in per_class]
    table = pd.DataFrame(rows, columns=["turn", "images", "imbalance", "negatives", "validation", *_ASKED])
    return table.astype(dict.fromkeys(_ASKED, "Int64")), pd.DataFrame(classes)


def write_summary(directory: Path, turns: Sequence[Turn], task: Task) -> pd.DataFrame:
    """Write both tables into the directory of the bootstrapping; return that of the turns."""
    tables = summary(turns, task)
    for name, table in zip(("summary.csv", "classes.csv"), tables, strict=True):
        with written(directory / name) as file:
            table.to_csv(file, index=False)
    return tables[0]


_ASKED = ("asked", "yes", "no", "unsure", "undecided")
