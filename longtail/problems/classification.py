"""Classification: each sample has one class of a task. Its labels, headline score, metrics, and part of the report."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from longtail.data.dataset import SUBSETS, Task
from longtail.data.splits import Split
from longtail.metrics.classification import Metrics, evaluate
from longtail.metrics.scores import PUBLISHED, Shots
from longtail.metrics.significance import Answers, Difference, joined, mean_accuracy, paired_difference
from longtail.report.content import Row, Standing, TaskReport
from longtail.report.explanation import KCurve, KSearch
from longtail.rules.base import Rule
from longtail.rules.head_adjusted import HeadAdjusted
from longtail.rules.knn import row_blocks
from longtail.rules.registry import ADJUSTED, HEAD
from longtail.rules.search import mean_class_accuracy

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
# What models say of the test samples: by model and rule their class codes.
Said = dict[str, dict[str, Ints]]


@dataclass(frozen=True)
class Judged:
    """A model on one task: its embeddings and logits of the split's samples, its rules, and its own rule's key.

    `prior` (K,): the share of each class in what its classifier was trained on.
    """

    name: str
    rule: str
    rules: Mapping[str, Rule]
    embeddings: Floats
    logits: Floats | None
    class_count: int
    prior: Floats | None = None

    @property
    def reference(self) -> Rule:
        """The rule by which others are compared with it: its own, but for the head that less the log prior. A gain that
        this has too is a moved threshold, not a better representation. It is for even classes, as the scores that are
        compared are.
        """
        adjusted = self.rules.get(ADJUSTED)
        if self.rule in (HEAD, ADJUSTED) and isinstance(adjusted, HeadAdjusted):
            return adjusted.for_even_classes()
        return self.rules[self.rule]

    @property
    def reference_name(self) -> str | None:
        """What that rule is called; None where it is its own."""
        return None if self.reference is self.rules[self.rule] else ADJUSTED

    def reference_answers(self, positions: Ints) -> Ints:
        """What it says of these samples by that rule."""
        return self._in_blocks(self.reference, positions)

    def answers(self, positions: Ints) -> dict[str, Ints]:
        """By rule the class codes of the samples at these positions."""
        return {key: self._in_blocks(rule, positions) for key, rule in self.rules.items()}

    def _in_blocks(self, rule: Rule, positions: Ints) -> Ints:
        # A rule makes a score a class, which of many samples and classes nobody has memory for.
        blocks = [positions[rows] for rows in row_blocks(len(positions), self.class_count)]
        return np.concatenate([self._said(rule, at) for at in blocks])

    def _said(self, rule: Rule, positions: Ints) -> Ints:
        logits = None if self.logits is None else self.logits[positions]
        return rule.predict(self.embeddings[positions], logits)[0]


@dataclass(frozen=True)
class Extent:
    """How a task is measured, and how much a report shows of it: bootstrap `resamples`, `mistakes`, test samples on
    the map, and from how many training images on a class is many-, medium- or few-shot.
    """

    resamples: int
    mistakes: int
    map_points: int
    seed: int
    shots: Shots = PUBLISHED


def labels(task: Task, split: Split) -> Ints:
    """The class codes of the test samples, −1 where the label is missing or is the background class."""
    return split.scored_labels(task, "test")[split.positions("test")]


def task_report(
    task: Task, models: list[Judged], baseline: str, split: Split, extent: Extent
) -> tuple[TaskReport, Said]:
    """The task's section of the report, and what every model says of each test sample by each of its rules."""
    said = {model.name: model.answers(split.positions("test")) for model in models}
    own = {model.name: said[model.name][model.rule] for model in models}
    compared = next(model for model in models if model.name == baseline)
    reference = compared.reference_answers(split.positions("test"))
    differences = {
        name: _difference(task, answers, reference, split, extent) for name, answers in own.items() if name != baseline
    }
    rows = [
        Row(model.name, rule, metrics, own=True, difference=differences.get(model.name))
        if rule == model.rule
        else Row(model.name, rule, metrics)
        for model in models
        for rule, metrics in measure(task, said[model.name], split, extent).items()
    ]
    report = TaskReport(
        name=task.name,
        classes=task.classes,
        counts={name: split.info.subsets[name].counts[task.name] for name in SUBSETS},
        imbalance=split.info.subsets["train"].tasks[task.name],
        rows=rows,
        baseline=baseline,
        background=task.background,
        shots=extent.shots,
        k_search=_k_search(models[0].rules["cluster_wise"].summary()),
        reference=compared.reference_name,
        reference_accuracy=_accuracy(task, reference, split) if compared.reference_name else None,
    )
    return report, said


def _k_search(tried: Mapping[str, Any]) -> KSearch:
    curve = pd.DataFrame(tried["curve"])
    curves = [
        KCurve(str(decision), points["k"].tolist(), points["score"].tolist())
        for decision, points in curve.groupby("decision", sort=False)
    ]
    return KSearch(curves, tried["decision"], tried["k"])


def task_means(
    pages: list[TaskReport], own: list[dict[str, Ints]], references: list[Ints], split: Split, extent: Extent
) -> list[Standing]:
    """How each model stands in the mean over the tasks; `own` has, for each of `pages`, what each says by its own rule,
    `references` what the baseline says by the rule that others are compared with.

    Tasks whose test samples have no label are out.
    """
    tasks = {task.name: labels(task, split) for task in split.tasks}
    known = [place for place, page in enumerate(pages) if (tasks[page.name] >= 0).any()]
    classes, baseline = [len(pages[place].classes) for place in known], pages[0].baseline
    groups = split.groups[split.positions("test")]
    rules = {row.model: row.rule for row in pages[0].own_rows}
    found = []
    for model in own[0] if known else []:
        answers = [Answers(tasks[pages[i].name], own[i][model], references[i], groups) for i in known]
        whole, weights = joined(answers, classes)
        options: dict[str, Any] = {"weights": weights, "resamples": extent.resamples, "seed": extent.seed}
        reached = mean_accuracy(whole.truth, whole.first, whole.groups, **options)
        other = model == baseline and any(pages[place].reference is not None for place in known)
        found.append(
            Standing(
                model,
                reached.mean,
                reached.interval,
                paired_difference([whole], **options) if extent.resamples and model != baseline else None,
                rules[model],
                mean_accuracy(whole.truth, whole.second, whole.groups, **options).mean if other else None,
            )
        )
    return found


def measure(task: Task, answers: Mapping[str, Ints], split: Split, extent: Extent) -> dict[str, Metrics]:
    """The metrics of each rule's answers on the test samples."""
    test = split.positions("test")
    return {
        rule: evaluate(
            split.labels(task)[test],
            predicted,
            classes=task.classes,
            train_counts=split.info.subsets["train"].counts[task.name],
            background=task.background,
            groups=split.groups[test],
            resamples=extent.resamples,
            seed=extent.seed,
            shots=extent.shots,
        )
        for rule, predicted in answers.items()
    }


def _accuracy(task: Task, answers: Ints, split: Split) -> float | None:
    truth = labels(task, split)
    return mean_class_accuracy(truth[truth >= 0], answers[truth >= 0]) if (truth >= 0).any() else None


def _difference(task: Task, first: Ints, second: Ints, split: Split, extent: Extent) -> Difference | None:
    """In the headline score; None where nothing is resampled, or no test sample has a label."""
    truth = labels(task, split)
    if not extent.resamples or not (truth >= 0).any():
        return None
    return paired_difference(
        [Answers(truth, first, second, split.groups[split.positions("test")])],
        resamples=extent.resamples,
        seed=extent.seed,
    )


def answers_table(task: Task, answers: Said, split: Split) -> pd.DataFrame:
    """A row a test sample: its id, its class, and the class by each model and rule, "<model>.<rule>"."""
    classes, test = np.array(task.classes, dtype=object), split.positions("test")
    truth = split.labels(task)[test]
    table = pd.DataFrame({"id": split.samples["id"].to_numpy()[test]})
    table["true"] = pd.Series(classes[truth]).where(truth >= 0, None)
    for model, said in answers.items():
        for rule, predicted in said.items():
            table[f"{model}.{rule}"] = classes[predicted]
    return table
