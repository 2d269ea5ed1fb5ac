"""The head and the cluster-wise kNN together: the mean of their class probabilities, weighted on validation."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from longtail.artifacts.reading import read_json, write_json
from longtail.rules.base import Evidence, Floats, Ints, Rule
from longtail.rules.cluster_wise import ClusterWise
from longtail.rules.search import Measure, mean_class_accuracy, reached


def posterior(scores: Floats, temperature: float = 1.0) -> Floats:
    """Class scores (n, K) as probabilities: their softmax at a temperature, in the units of the scores."""
    scaled = scores / temperature
    exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probabilities: Floats = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probabilities


@dataclass(frozen=True)
class Blend:
    """`head`: the weight of the head's probabilities. The kNN's are its scores (Eq. 3, or shares of votes) at a
    temperature.
    """

    head: float
    temperature: float

    def mix(self, logits: Floats, scores: Floats) -> Floats:
        """Class probabilities (n, K) from the head's logits (n, K) and the kNN's scores (n, K)."""
        mixed: Floats = self.head * posterior(logits) + (1 - self.head) * posterior(scores, self.temperature)
        return mixed


BLENDS = [Blend(head, temperature) for head in (0.25, 0.5, 0.75) for temperature in (0.05, 0.2, 1.0)]


def choose_blend(
    blocks: Iterable[tuple[Floats, Floats]], truth: Ints, measure: Measure = "mean_class_accuracy"
) -> tuple[Blend, float]:
    """The best of BLENDS (the first of equals) on validation samples of known class (n,), and its mean per-class
    accuracy there. `blocks`: the logits and the kNN's scores of some of them after others.
    """
    parts: dict[Blend, list[Ints]] = {blend: [] for blend in BLENDS}
    for logits, scores in blocks:
        for blend, part in parts.items():
            part.append(blend.mix(logits, scores).argmax(1))
    said = {blend: np.concatenate(part) for blend, part in parts.items()}
    best = max(BLENDS, key=lambda blend: reached(measure, truth, said[blend]))
    return best, mean_class_accuracy(truth, said[best])


@dataclass(frozen=True)
class HeadAndKNN(Rule):
    """`knn`: the cluster-wise rule of the same model, whose files serve both."""

    title = "softmax head and cluster-wise kNN"
    needs_logits = True

    knn: ClusterWise
    blend: Blend
    score: float

    @classmethod
    def fit(cls, evidence: Evidence, fitted: Mapping[str, Rule]) -> Self:
        knn = fitted["cluster_wise"] if "cluster_wise" in fitted else ClusterWise.fit(evidence, fitted)
        assert isinstance(knn, ClusterWise)
        assert evidence.logits is not None
        logits, truth = evidence.logits, evidence.validation[evidence.validation >= 0]
        both = ((logits[at], knn.predict(evidence.embeddings[at], None)[1]) for at in evidence.validated())
        blend, score = choose_blend(both, truth, evidence.measure)
        return cls(knn, blend, score)

    def predict(self, embeddings: Floats, logits: Floats | None) -> tuple[Ints, Floats]:
        assert logits is not None
        mixed = self.blend.mix(logits, self.knn.predict(embeddings, None)[1])
        return mixed.argmax(1), mixed

    def save(self, folder: Path, task: str) -> None:
        write_json(folder / f"head_and_knn-{task}.json", self.summary())

    @classmethod
    def load(cls, folder: Path, task: str) -> Self:
        about = read_json(folder / f"head_and_knn-{task}.json")
        blend = Blend(about["head"], about["temperature"])
        return cls(ClusterWise.load(folder, task), blend, about["score"])

    def summary(self) -> dict[str, Any]:
        knn = self.knn.neighbours
        blend = {"head": self.blend.head, "temperature": self.blend.temperature}
        return {"score": self.score, **blend, "k": knn.k, "decision": knn.decision}


RULE = HeadAndKNN
