"""A trained model as a whole: from images to what it answers, and how sure and how far from its training it is."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from longtail.data.dataset import Task
from longtail.errors import DataError
from longtail.network.device import device
from longtail.network.embedder import Embedder, load_embedder
from longtail.network.snapshot import State
from longtail.rules.base import Floats, Ints, Rule, rule_class
from longtail.rules.cluster_wise import ClusterWise
from longtail.rules.familiarity import Familiarity, Nearest, nearest_clusters
from longtail.rules.probabilities import Probabilities


class Answers(NamedTuple):
    """Of n images, on one task: class codes (n,), the probability of each class, float32 (n, K), the nearest cluster,
    and whether the image is `unlike` (n,) anything trained on.
    """

    codes: Ints
    probabilities: Floats
    nearest: Nearest
    unlike: npt.NDArray[np.bool_]

    @property
    def probability(self) -> Floats:
        """That of the class that is answered (n,)."""
        found: Floats = self.probabilities[np.arange(len(self.codes)), self.codes]
        return found


@dataclass(frozen=True)
class TaskAnswerer:
    """What answers on one task: the rule by which the model is reported, and what stands beside its answer."""

    task: Task
    rule: Rule
    probabilities: Probabilities
    clusters: ClusterWise
    familiarity: Familiarity

    @classmethod
    def load(cls, index: Path, key: str, task: Task) -> Self:
        """That of the rule of this key in an index directory. Raises DataError if it cannot be read."""
        rules = index / "rules"
        try:
            return cls(
                task,
                rule_class(key).load(rules, task.name),
                Probabilities.read(index, task.name, key),
                ClusterWise.load(rules, task.name),
                Familiarity.load(rules, task.name),
            )
        except (TypeError, KeyError) as error:  # JSON that holds something else
            raise DataError(f"{rules} does not hold what `longtail index` writes ({error}): run it again") from error

    def answer(self, embeddings: Floats, logits: Floats | None) -> Answers:
        """From embeddings (n, d) and, where the rule needs them, logits (n, K)."""
        codes, scores = self.rule.predict(embeddings, logits)
        nearest = nearest_clusters(self.clusters, embeddings)
        return Answers(codes, self.probabilities.of(codes, scores), nearest, self.familiarity.unlike(nearest))


@dataclass(frozen=True)
class Answerer:
    """The network of an index directory, and what answers on each of its tasks."""

    embedder: Embedder
    tasks: dict[str, TaskAnswerer]

    @classmethod
    def load(cls, index: Path) -> Self:
        """Raises DataError if the directory is no index, or one of its files cannot be read."""
        if not (index / "snapshot").is_dir():
            raise DataError(f"{index} is no index: give one that `longtail index` has made, as artifacts/index/softmax")
        embedder, key = load_embedder(index / "snapshot").to(device()), State.read(index).rule
        return cls(embedder, {task.name: TaskAnswerer.load(index, key, task) for task in embedder.tasks})

    def answer(self, images: npt.NDArray[np.uint8]) -> dict[str, Answers]:
        """By task, from uint8 N×H×W×C as the model sees them; N may be 0."""
        embeddings, logits = self._seen(images)
        return {name: one.answer(embeddings[name], logits.get(name)) for name, one in self.tasks.items()}

    def _seen(self, images: npt.NDArray[np.uint8]) -> tuple[dict[str, Floats], dict[str, Floats]]:
        """Embeddings and, where a rule needs them, logits, by task; the network sees each image once."""
        if not any(one.rule.needs_logits for one in self.tasks.values()):
            return self.embedder(images), {}
        return self.embedder.all_embedded_and_classified(images)
