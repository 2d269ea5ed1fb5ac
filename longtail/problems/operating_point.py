"""What the probabilities of trained classifiers are worth on a task, and their answers if classes come otherwise."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from longtail.data.dataset import Task
from longtail.data.splits import Split
from longtail.metrics.calibration import calibration, fit_temperature
from longtail.metrics.conformal import PredictionSets, least_probabilities, prediction_sets
from longtail.metrics.label_shift import shifted_priors
from longtail.metrics.probabilities import Blocks, Logits
from longtail.metrics.scores import Mask, Shots, class_sets
from longtail.problems.classification import Floats, Ints, Judged, Said, labels
from longtail.report.operating_point import Calibrated, OperatingPoint, UnderPriors
from longtail.rules.head_adjusted import adjustment
from longtail.rules.knn import row_blocks
from longtail.rules.registry import ADJUSTED, HEAD
from longtail.rules.search import accuracy_under

# The rules whose scores are logits, so that the softmax of them is what the model believes.
WITH_PROBABILITIES = (HEAD, ADJUSTED)


@dataclass(frozen=True)
class Labelled:
    """The samples of a subset whose label counts: their positions in the split, and their class codes."""

    positions: Ints
    truth: Ints

    @classmethod
    def of(cls, task: Task, split: Split, subset: str) -> "Labelled":
        codes = split.scored_labels(task, subset)
        positions = np.flatnonzero(codes >= 0)
        return cls(positions, codes[positions])

    def counts(self, class_count: int) -> Ints:
        """The samples of each class."""
        return np.bincount(self.truth, minlength=class_count)

    def scores(self, model: Judged, rule: str) -> Blocks:
        """Those of a rule of a model, block by block; of the head they are the logits. If there are several, each is
        made anew whenever they are gone through.
        """
        parts = row_blocks(len(self.positions), model.class_count)

        def blocks() -> Iterator[tuple[Logits, Ints]]:
            for rows in parts:
                at = self.positions[rows]
                if len(at):
                    logits = None if model.logits is None else model.logits[at]
                    yield model.rules[rule].predict(model.embeddings[at], logits)[1], self.truth[rows]

        if len(parts) > 1:
            return blocks
        found = list(blocks())
        return lambda: iter(found)


@dataclass(frozen=True)
class Setting:
    """What all models of a task are measured on: labelled samples, classes that count, their groups, test priors."""

    classes: list[str]
    validation: Labelled
    test: Labelled
    # Which of the test samples have a label that counts.
    known: Mask
    foreground: Mask
    groups: dict[str, Mask]
    priors: dict[str, Floats]

    @classmethod
    def of(cls, task: Task, split: Split, shots: Shots) -> "Setting":
        train_counts = split.info.subsets["train"].counts[task.name]
        foreground = np.array([name != task.background for name in task.classes], dtype=np.bool_)
        return cls(
            task.classes,
            Labelled.of(task, split, "validation"),
            Labelled.of(task, split, "test"),
            labels(task, split) >= 0,
            foreground,
            class_sets(train_counts, foreground, shots),
            {name: shares.astype(np.float32) for name, shares in shifted_priors(train_counts, foreground).items()},
        )


def operating_point(task: Task, models: list[Judged], said: Said, split: Split, shots: Shots) -> OperatingPoint:
    """The models' part of the report; `said` is what they answer on the test samples."""
    setting = Setting.of(task, split, shots)
    sets = {model.name: _sets(model, setting) for model in models}
    return OperatingPoint(
        setting.validation.counts(len(task.classes)).tolist(),
        [one for model in models for one in _calibrated(model, setting)],
        [one for model in models for one in _under_priors(model, said[model.name], setting)],
        {name: of_model for name, of_model in sets.items() if of_model},
    )


def _calibrated(model: Judged, setting: Setting) -> Iterator[Calibrated]:
    for rule in WITH_PROBABILITIES:
        if rule in model.rules:
            temperature = fit_temperature(setting.validation.scores(model, rule))
            test = setting.test.scores(model, rule)
            before = calibration(test, 1.0, setting.groups)
            after = None if temperature is None else calibration(test, temperature, setting.groups)
            yield Calibrated(model.name, rule, temperature, before, after)


def _under_priors(model: Judged, said: Mapping[str, Ints], setting: Setting) -> Iterator[UnderPriors]:
    """By each rule, and by the head that is told the prior; nothing without labelled test samples."""
    truth = setting.test.truth
    if not len(truth):
        return
    answers = {(rule, False): dict.fromkeys(setting.priors, codes[setting.known]) for rule, codes in said.items()}
    if HEAD in model.rules and model.prior is not None:
        answers[HEAD, True] = _told(model, model.prior, setting)
    for (rule, told), by_prior in answers.items():
        accuracy = {name: accuracy_under(truth, by_prior[name], prior) for name, prior in setting.priors.items()}
        yield UnderPriors(model.name, rule, accuracy, told)


def _told(model: Judged, trained: Floats, setting: Setting) -> dict[str, Ints]:
    """By test prior what the head answers if its logits are shifted to it from the prior that it was trained on. It
    never answers the background class, whose share is 0.
    """
    inside = np.flatnonzero(setting.foreground)
    shifts = {name: adjustment(trained[inside], prior[inside], 1.0) for name, prior in setting.priors.items()}
    answers: dict[str, list[Ints]] = {name: [] for name in shifts}
    for logits, _ in setting.test.scores(model, HEAD)():
        for name, shift in shifts.items():
            answers[name].append(inside[(logits[:, inside] + shift).argmax(1)])
    return {name: np.concatenate(blocks) for name, blocks in answers.items()}


def _sets(model: Judged, setting: Setting) -> dict[str, PredictionSets]:
    """By kind, from the head as it was trained: a temperature of the same samples would break the guarantee."""
    if HEAD not in model.rules:
        return {}
    validation, test = (of.scores(model, HEAD) for of in (setting.validation, setting.test))
    floors = least_probabilities(validation, setting.foreground, model.prior)
    counts = setting.validation.counts(len(setting.classes))
    return prediction_sets(test, floors, counts, setting.classes, setting.groups)
