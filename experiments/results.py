"""What an experiment has found: every figure from the answers on the test subset."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from experiments.matrix import Cell, Matrix, Score
from experiments.place import Place
from longtail.metrics.scores import PUBLISHED, ClassCounts, class_sets, scores
from longtail.metrics.significance import Answers, Difference, joined, paired_difference
from longtail.rules.search import mean_class_accuracy

ACCURACY, RECALL = "mean_class_accuracy", "recall/"
SCORES = get_args(Score)
# Of so many tasks each has its own tables and figures; more stand in one.
MANY_TASKS = 4


def cell_rows(result: Path, cell: Cell, found: dict[str, Any]) -> list[dict[str, Any]]:
    """The tidy rows of one cell: task, rule, metric and value; recalls as recall/<class>."""
    rows = []
    for task, about in found["tasks"].items():
        with np.load(result / f"answers-{task}.npz", allow_pickle=False) as answers:
            truth = answers["truth"]
            known = truth >= 0
            foreground = np.array([name != about.get("background") for name in about["classes"]])
            for rule in (name for name in answers.files if name not in ("truth", "groups")):
                said = answers[rule]
                values = {ACCURACY: mean_class_accuracy(truth[known], said[known])}
                values |= other_scores(truth[known], said[known], about["train"], foreground)
                validation = found["validation"][task].get(rule)
                values |= {} if validation is None else {f"validation_{ACCURACY}": validation}
                values |= {
                    f"{RECALL}{about['classes'][code]}": recall for code, recall in recalls(truth[known], said[known])
                }
                rows += [
                    {"task": task, "rule": rule, "metric": metric, "value": value} for metric, value in values.items()
                ]
    return [{"setting": cell.setting, "method": cell.method, "seed": cell.seed, **row} for row in rows]


def other_scores(
    truth: npt.NDArray[np.int64], said: npt.NDArray[np.int64], train: list[int], foreground: npt.NDArray[np.bool_]
) -> dict[str, float]:
    """The scores that an experiment may ask for, of codes (n,) without missing labels; those that exist. `train` (K,):
    training samples of each class; of the foreground, which a background class is not in, one below 1/K of them is a
    minority class.
    """
    counts = ClassCounts(*(np.bincount(of, minlength=len(train)) for of in (truth[truth == said], truth, said)))
    found = scores(counts, class_sets(train, foreground, PUBLISHED))
    return {name: float(found[name]) for name in SCORES if np.isfinite(found[name])}


def recalls(truth: npt.NDArray[Any], said: npt.NDArray[Any]) -> Iterator[tuple[int, float]]:
    """The code of each class that has samples, and the share of them that is right."""
    support = np.bincount(truth)
    right = np.bincount(truth[truth == said], minlength=len(support))
    yield from ((code, float(right[code] / support[code])) for code in np.flatnonzero(support).tolist())


@dataclass(frozen=True)
class Results:
    """What is done of an experiment: `rows`, and the cells with their results.

    Where a task is asked for, None is the mean over all of them.
    """

    matrix: Matrix
    place: Place
    found: dict[tuple[str, str, int], dict[str, Any]]
    rows: pd.DataFrame

    @classmethod
    def of(cls, matrix: Matrix, place: Place) -> "Results":
        """Read the cells that are done."""
        found, rows = {}, []
        for cell in matrix.cells():
            result = place.done(cell)
            if result is not None:
                found[cell.setting, cell.method, cell.seed] = result
                rows += cell_rows(place.result(cell), cell, result)
        columns = ["setting", "method", "seed", "task", "rule", "metric", "value"]
        return cls(matrix, place, found, pd.DataFrame(rows, columns=columns))

    @property
    def seeds(self) -> list[int]:
        """The seeds of which any cell is done."""
        return sorted({seed for *_, seed in self.found})

    @cached_property
    def tasks(self) -> list[str]:
        """The tasks that the cells classify."""
        return self.rows["task"].unique().tolist()

    @property
    def ratios(self) -> dict[str, float]:
        """Each task's imbalance ratio in training in the last setting, in ascending order; an empty class counts as one
        of one image. Tasks that no cell has there are left out.
        """
        sizes = {task: self._sizes_but_background(task) for task in self.tasks}
        ratios = {task: max(of.values()) / max(1, min(of.values())) for task, of in sizes.items() if of}
        return dict(sorted(ratios.items(), key=lambda of_task: of_task[1]))

    def _sizes_but_background(self, task: str) -> dict[str, float]:
        background = {about["tasks"][task].get("background") for about in self.found.values() if task in about["tasks"]}
        sizes = self.class_sizes(task, self.matrix.last_setting)
        return {name: size for name, size in sizes.items() if name not in background}

    def class_sizes(self, task: str, setting: str) -> dict[str, float]:
        """Training images of each class in a setting, the mean over its cells; empty where no cell has the task."""
        found = [r["tasks"][task] for key, r in self.found.items() if key[0] == setting and task in r["tasks"]]
        if not found:
            return {}
        means = np.mean([of_cell["train"] for of_cell in found], axis=0)
        return dict(zip(found[0]["classes"], means.tolist(), strict=True))

    def contenders(self) -> list[tuple[str, str]]:
        """The rows of the tables: methods with their rules; not with one by which no cell of theirs answers."""
        answered = {*zip(self.rows.method, self.rows.rule, strict=True), *map(self.own, self.matrix.methods)}
        return [row for row in self._declared if row in answered]

    @property
    def unanswered(self) -> list[str]:
        """The rules of rows that are no contenders."""
        contenders = self.contenders()
        return list(dict.fromkeys(rule for name, rule in self._declared if (name, rule) not in contenders))

    @property
    def _declared(self) -> list[tuple[str, str]]:
        return [(name, one) for name in self.matrix.methods for one in self.matrix.rules_of(name)]

    @property
    def baseline(self) -> tuple[str, str]:
        """The method that the others are compared with, by its own rule."""
        return self.own(self.matrix.baseline)

    def own(self, method: str) -> tuple[str, str]:
        """A method with its own rule."""
        return method, self.matrix.rules_of(method)[0]

    @cached_property
    def _scored(self) -> dict[str, pd.DataFrame]:
        """The rows of each score alone, which are few beside those of the classes."""
        return {score: self.rows[self.rows.metric == score] for score in (ACCURACY, *SCORES)}

    def values(
        self, task: str | None, setting: str, method: str, rule: str, *, score: str = ACCURACY
    ) -> "pd.Series[float]":
        """The score of each seed; of the mean over the tasks that can have it, of each seed that has them all."""
        if task is None:
            # A task of classes of even size has no minority, whatever the method.
            scored = set(self._scored[score].query("setting == @setting").task)
            of_tasks = [self.values(one, setting, method, rule, score=score) for one in self.tasks if one in scored]
            if not of_tasks:
                return pd.Series(dtype=float)
            return pd.concat(of_tasks, axis=1).dropna().mean(axis=1)
        r = self._scored[score]
        mask = (r.task == task) & (r.setting == setting) & (r.method == method) & (r.rule == rule)
        return r[mask].set_index("seed")["value"]

    def chosen(self, task: str | None, setting: str, method: str, rule: str) -> list[dict[str, Any] | None]:
        """What was chosen on validation for each of `values`, or for their mean in each task; None where an older cell
        does not say it.
        """
        of_seeds = [self.found[setting, method, seed] for seed in self.values(task, setting, method, rule).index]
        tasks = self.tasks if task is None else [task]
        return [found["chosen"][one][rule] if "chosen" in found else None for one in tasks for found in of_seeds]

    def ended_by_budget(self) -> list[tuple[str, int]]:
        """The methods with the number of their cells whose last training was to end by early stopping, and ended before
        its loss on validation had not fallen for so long.
        """
        ended = Counter(method for (_, method, _), result in self.found.items() if _cut_short(result))
        return [(method, ended[method]) for method in self.matrix.methods if method in ended]

    def recalls(self, task: str, setting: str, method: str, rule: str) -> pd.DataFrame:
        """Of each seed (a row) the recall of each class (a column)."""
        r = self.rows
        mask = (r.task == task) & (r.setting == setting) & (r.method == method) & (r.rule == rule)
        found = r[mask & r.metric.str.startswith(RECALL)]
        return found.assign(metric=found.metric.str.removeprefix(RECALL)).pivot(
            index="seed", columns="metric", values="value"
        )

    def difference(
        self, task: str | None, setting: str, first: tuple[str, str], second: tuple[str, str]
    ) -> Difference | None:
        """Two contenders on the seeds in which both classify the task; None if there are none."""
        seeds = sorted(set.intersection(*(set(self.values(task, setting, *one).index) for one in (first, second))))
        if not seeds:
            return None
        if task is not None:
            return paired_difference([self.answers(task, setting, seed, first, second) for seed in seeds])
        about = next(found["tasks"] for key, found in self.found.items() if key[0] == setting)
        sizes = [len(about[one]["classes"]) for one in self.tasks]
        whole = [
            joined([self.answers(one, setting, seed, first, second) for one in self.tasks], sizes) for seed in seeds
        ]
        return paired_difference([answers for answers, _ in whole], weights=whole[0][1])

    def answers(self, task: str, setting: str, seed: int, first: tuple[str, str], second: tuple[str, str]) -> Answers:
        """What two contenders say of the test samples of a task with a seed."""
        said = []
        for method, rule in (first, second):
            cell = Cell.model_validate(self.found[setting, method, seed]["cell"])
            with np.load(self.place.result(cell) / f"answers-{task}.npz", allow_pickle=False) as answers:
                said.append((answers["truth"], answers["groups"], answers[rule]))
        (truth, groups, one), (other_truth, _, other) = said
        if not np.array_equal(truth, other_truth):
            raise ValueError(f"{first[0]} and {second[0]} were tested on different samples in {setting}, seed {seed}")
        return Answers(truth, one, other, groups)


def _cut_short(result: dict[str, Any]) -> bool:
    cell = Cell.model_validate(result["cell"])
    training = cell.trainings[-1]
    section = {} if training in cell.rounds else cell.sections["fits"][training]
    patience = (section.get("optimisation") or {}).get("early_stopping")
    if not patience:
        return False
    losses = [point["validation_loss"] for point in result["history"][-1]["curve"]]
    return bool(len(losses) - 1 - np.argmin(losses) < patience)
