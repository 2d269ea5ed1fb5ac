"""Turns of a bootstrapping, on stored features in seconds each: the same images throughout, more and more labelled.

A share of the training images is the seed. The others are the pool: their labels, and that some are strangers, of
classes that nobody asks for, are known to simulated people alone.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from experiments.cell import Steps
from experiments.matrix import Cell
from experiments.place import Place
from experiments.unknown_classes import without_labels
from longtail.artifacts.outputs import written_whole
from longtail.bootstrapping.people import answer
from longtail.data.dataset import Task, rejected_column
from longtail.data.splits import Split, make_split
from longtail.errors import DataError
from longtail.inference.answerer import Answers, TaskAnswerer
from longtail.network.snapshot import State, read_embeddings, read_logits
from longtail.rules.registry import ADJUSTED
from longtail.rules.search import mean_class_accuracy
from longtail.stages import features, fit, index, ingest, split, start
from longtail.training.declared import DATASET, START

Ints = npt.NDArray[np.int64]
By = Literal["confidence", "random"]
Row = dict[str, Any]
Bools = npt.NDArray[np.bool_]
OWN = "own rule"
LEAST = 2  # images of a class in the seed, where there are as many


class Arm(NamedTuple):
    """A condition: which images are asked, whether those with a no are kept as hard negatives, how often people err."""

    by: By
    negatives: bool
    error_rate: float


class Way(NamedTuple):
    """How the loop goes: into how many parts the pool is divided, how large the seed is, and from which probability on
    an image is asked.
    """

    parts: int
    share: float
    confidence: float


@dataclass(frozen=True)
class Ground:
    """What all arms of a cell have in common: its split, with the true labels, and by name its images and their stored
    features. `seed` and each of `parts`: positions in the split.
    """

    steps: Steps
    split: Split
    inputs: dict[str, Path]
    start: Path
    seed: Ints
    parts: list[Ints]

    @property
    def task(self) -> Task:
        """The only one."""
        return self.split.tasks[0]

    @classmethod
    def of(cls, cell: Cell, place: Place, strangers: list[str], way: Way) -> "Ground":
        """Raises DataError if the data have several tasks."""
        steps = Steps(cell, place.steps)
        dataset = without_labels(steps.run(ingest, place.data), strangers)
        table = steps.run(split, dataset)
        begin = steps.run(start, dataset, table)
        declared = cell.declared
        stored = {name: steps.run(features, dataset, table, begin, training=name) for name in declared.features}
        opened = Split.open(table)
        seed, parts = divided(opened, way, cell.seed)
        return cls(steps, opened, {DATASET: dataset, **stored}, begin, seed, parts)

    def model(self, table: Path) -> Path:
        """The cell's model, trained on a split of the same samples."""
        declared, models = self.steps.cell.declared, {START: self.start}
        for name in self.steps.cell.trainings:
            inputs = self.inputs[declared.on[name]], table, models[declared.after[name]]
            models[name] = self.steps.run(fit, *inputs, training=name)
        return models[self.steps.cell.model]


def check(cell: Cell) -> None:
    """Raise DataError if a turn of the cell would take rounds, or features anew."""
    if cell.rounds or any(after != START for after in cell.declared.features.values()):
        raise DataError(f"{cell.name}: trainings must be of `fits`, and features `after: start`")


def divided(table: Split, way: Way, seed: int) -> tuple[Ints, list[Ints]]:
    """Of the training samples a share of each class, LEAST at least; all others, strangers among them, in parts."""
    rng = np.random.default_rng([seed, way.parts])
    labels, train = table.train_labels(table.tasks[0]), rng.permutation(table.positions("train"))
    of_classes = [train[labels[train] == code] for code in range(len(table.tasks[0].classes))]
    chosen = [some[: max(LEAST, round(way.share * len(some)))] for some in of_classes]
    first = np.sort(np.concatenate(chosen))
    return first, np.array_split(train[~np.isin(train, first)], way.parts)


def grown(table: Split, labels: Ints, rejected: Ints) -> Split:
    """The split whose training samples have these labels (n,) and rejections (n,), −1 for none; others as they were."""
    task, samples = table.tasks[0], table.samples.copy()
    names = np.array([None, *task.classes], object)
    samples[task.name] = np.where(table.subset == "train", names[labels + 1], samples[task.name].astype(object))
    samples[rejected_column(task.name)] = names[rejected + 1]
    made = make_split(samples, table.subset, table.tasks)
    made.samples["row"] = table.samples["row"]
    return made


def turns(ground: Ground, arm: Arm, way: Way) -> list[Row]:
    """A row a turn: how many labels were asked before it, what was said, and how good the model of the turn is."""
    truth, count = ground.split.labels(ground.task), len(ground.split.samples)
    labels, rejected = np.full(count, -1), np.full(count, -1)
    labels[ground.seed] = truth[ground.seed]
    rows, said = [], {"asked": 0, "yes": 0, "no": 0, "wrong": 0}
    for number in range(way.parts + 1):
        by_rule = _answers(ground, labels, rejected)
        sizes = {"images": int((labels >= 0).sum()), "negatives": int((rejected >= 0).sum())}
        rows.append({"turn": number + 1, **said, **sizes, **_scores(ground, by_rule)})
        if number < way.parts:
            codes, asked = by_rule[OWN].codes, _asked(ground, by_rule[OWN], number, arm, way)
            right = truth[asked] == codes[asked]
            yes = _said(ground, asked, right, arm.error_rate)
            labels[asked[yes]] = codes[asked[yes]]
            if arm.negatives:
                rejected[asked[~yes]] = codes[asked[~yes]]
            more = {"asked": len(asked), "yes": yes.sum(), "no": (~yes).sum(), "wrong": (yes != right).sum()}
            said = {name: said[name] + int(count) for name, count in more.items()}
    return rows


def _asked(ground: Ground, answers: Answers, number: int, arm: Arm, way: Way) -> Ints:
    """Of a part those whose answer is sure enough; at random as many of the whole part."""
    part = ground.parts[number]
    sure = part[answers.probability[part] > way.confidence]
    if arm.by == "confidence":
        return sure
    return np.random.default_rng([ground.steps.cell.seed, number]).permutation(part)[: len(sure)]


def _said(ground: Ground, asked: Ints, right: Bools, error_rate: float) -> Bools:
    """Whether a simulated person says yes to each, whose proposals are `right`."""
    ids, seed = ground.split.samples["id"].to_numpy(), ground.steps.cell.seed
    said = [
        answer(str(ids[position]), "simulated", right=bool(one), error_rate=error_rate, seed=seed)
        for position, one in zip(asked, right, strict=True)
    ]
    return np.array(said, np.bool_)


def _scores(ground: Ground, by_rule: dict[str, Answers]) -> Row:
    """The mean per-class accuracy on test by each rule."""
    truth = ground.split.scored_labels(ground.task, "test")
    known = truth >= 0
    return {rule: mean_class_accuracy(truth[known], answers.codes[known]) for rule, answers in by_rule.items()}


def _answers(ground: Ground, labels: Ints, rejected: Ints) -> dict[str, Answers]:
    """What a model that is trained so answers of every sample, by its own rule and, where it has a classifier, by that
    without the prior of its training.
    """
    name = hashlib.sha256(np.concatenate([labels, rejected]).tobytes()).hexdigest()[:12]
    table = ground.steps.work / f"{ground.start.name}-turn-{name}"
    if not table.exists():
        with written_whole({"split": table}) as partial:
            grown(ground.split, labels, rejected).write(partial["split"])
    indexed = ground.steps.run(index, table, ground.model(table))
    embeddings = read_embeddings(indexed / "snapshot", ground.task.name)
    logits = read_logits(indexed / "snapshot", ground.task.name)
    rules = {OWN: State.read(indexed).rule} | ({} if logits is None else {ADJUSTED: ADJUSTED})
    return {
        name: TaskAnswerer.load(indexed, rule, ground.task).answer(embeddings, logits) for name, rule in rules.items()
    }
