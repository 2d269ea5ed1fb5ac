"""The ordinary kNN over all training samples, by majority vote; k is chosen on validation."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from longtail.artifacts.reading import read_json
from longtail.rules.base import Addition, Evidence, Floats, Ints, Rule
from longtail.rules.knn import NearestNeighbours, load_neighbours, save_neighbours
from longtail.rules.search import choose


@dataclass(frozen=True)
class SampleWise(Rule):
    """`neighbours`: every training sample, its class, and k."""

    title = "sample-wise kNN"

    neighbours: NearestNeighbours
    score: float
    curve: list[dict[str, float | str]]

    @classmethod
    def fit(cls, evidence: Evidence, fitted: Mapping[str, Rule]) -> Self:
        points, queries = evidence.train >= 0, evidence.validation >= 0
        choice = choose(
            evidence.embeddings[points],
            evidence.train[points],
            evidence.class_count,
            evidence.embeddings[queries],
            evidence.validation[queries],
            evidence.search.model_copy(update={"decisions": ["vote"]}),
            evidence.measure,
        )
        return cls(choice.classifier, choice.score, choice.curve)

    def predict(self, embeddings: Floats, logits: Floats | None) -> tuple[Ints, Floats]:
        return self.neighbours.predict(embeddings)

    def extended(self, addition: Addition) -> Self:
        more = addition.embeddings, addition.labels, addition.class_count
        return replace(self, neighbours=self.neighbours.with_points(*more))

    def can_answer(self, code: int) -> bool:
        return self.neighbours.can_answer(code)

    def save(self, folder: Path, task: str) -> None:
        save_neighbours(folder / f"sample_wise-{task}", self.neighbours, score=self.score, curve=self.curve)

    @classmethod
    def load(cls, folder: Path, task: str) -> Self:
        about = read_json(folder / f"sample_wise-{task}" / "about.json")
        return cls(load_neighbours(folder / f"sample_wise-{task}"), about["score"], about["curve"])

    def summary(self) -> dict[str, Any]:
        return {
            "score": self.score,
            "k": self.neighbours.k,
            "decision": self.neighbours.decision,
            "curve": self.curve,
        }


RULE = SampleWise
