"""What a rule is: from embeddings and, where a classifier was trained, its logits to classes and scores."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from longtail.errors import DataError
from longtail.rules.clusters import centroids, cluster_classes
from longtail.rules.knn import row_blocks
from longtail.rules.search import Measure, Search, reached

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Linear:
    """A classifier w_i·x + b_i, as far as rules ask for it: the length of each class's weights, `norms` (K,), and
    `biases` (K,).
    """

    norms: Floats
    biases: Floats


@dataclass(frozen=True)
class Evidence:
    """What a rule is fitted on, for one task: `embeddings` (n, d) and `logits` (n, K), None where no classifier was
    trained; `train` and `validation` (n,): class codes, −1 for whatever is not in the subset; `cluster_size`: None for
    one that is chosen by the sizes of the classes; what may be tried.

    `prior` (K,): the share of each class in what the classifier was trained on; `target` (K,): its share where the
    model is to be used, None for even. `linear`: the classifier, None where it is no linear layer. `earlier` (K,): the
    prior at the beginning of a training in whose course it changed. `calibration` (n,): as `validation`, which counts
    in metrics, and with the background class, of which probabilities are too; None: the same. `measure`: what is to be
    as high as can be on validation.
    """

    embeddings: Floats
    logits: Floats | None
    train: Ints
    validation: Ints
    class_count: int
    cluster_size: int | None
    search: Search
    seed: int
    prior: Floats | None = None
    target: Floats | None = None
    linear: Linear | None = None
    earlier: Floats | None = None
    calibration: Ints | None = None
    measure: Measure = "mean_class_accuracy"

    def validated(self) -> list[Ints]:
        """The positions of the labelled validation samples, in blocks of which memory holds a score for each class."""
        known = np.flatnonzero(self.validation >= 0)
        return [known[rows] for rows in row_blocks(len(known), self.class_count)]

    def reached(self, truth: Ints, answers: Ints) -> float:
        """How good answers (n,) to samples of known class (n,) are, by the measure and under the target."""
        return reached(self.measure, truth, answers, self.target)


@dataclass(frozen=True)
class Addition:
    """Samples of classes that nobody has trained: `embeddings` (n, d), and `labels` (n,) with the class codes, which
    follow those that were trained; `class_count`: all of both; `cluster_size`: about how many make a cluster.
    """

    embeddings: Floats
    labels: Ints
    class_count: int
    cluster_size: int

    def centroids(self) -> tuple[Floats, Ints]:
        """Those of the samples' clusters (m, d), and the class of each (m,)."""
        clusters = cluster_classes(self.embeddings, self.labels, self.cluster_size)
        return centroids(self.embeddings, clusters), clusters.classes


class Rule(ABC):
    """A rule, fitted: on the training samples, with what is open chosen on the validation samples.

    Adding one is a file here and its key in registry.py.
    """

    title: ClassVar[str]
    # Whether it asks the trained classifier, and so needs one.
    needs_logits: ClassVar[bool] = False
    # Its mean per-class accuracy on validation.
    score: float

    @classmethod
    def obstacle(cls, evidence: Evidence) -> str | None:
        """Why the rule cannot be fitted on this evidence, as the rest of a sentence; None if it can."""
        return "no classifier was trained" if cls.needs_logits and evidence.logits is None else None

    @classmethod
    @abstractmethod
    def fit(cls, evidence: Evidence, fitted: Mapping[str, "Rule"]) -> Self:
        """The rule on this evidence; `fitted` holds, by key, those before it in the registry. Raises DataError where
        there is an obstacle other than that no classifier was trained.
        """

    @abstractmethod
    def predict(self, embeddings: Floats, logits: Floats | None) -> tuple[Ints, Floats]:
        """Class codes (n,) and class scores (n, K) of embeddings (n, d) with their logits (n, K), if there are any."""

    @abstractmethod
    def save(self, folder: Path, task: str) -> None:
        """Write what it holds for a task into a directory, beside other rules and tasks."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path, task: str) -> Self:
        """The rule that `save` wrote. Raises DataError if it cannot be read."""

    def extended(self, addition: Addition) -> "Rule | None":
        """The rule that knows those classes too; None for one that asks the classifier, which cannot know them."""
        return None

    def can_answer(self, code: int) -> bool:
        """Whether the rule answers with a class wherever all that it knows of it is nearest."""
        return True

    def summary(self) -> dict[str, Any]:
        """What was tried on validation, as JSON has it: at least the score."""
        return {"score": self.score}


def rule_class(key: str) -> type[Rule]:
    """The rule of that key, not fitted: its module is loaded. Raises DataError if there is none."""
    try:
        found: type[Rule] = importlib.import_module(f"longtail.rules.{key}").RULE
    except (ImportError, AttributeError) as error:
        raise DataError(f"there is no rule {key!r}") from error
    return found
