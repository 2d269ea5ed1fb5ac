"""What the rules share that are a nearest-neighbour classifier of which nothing is chosen on validation."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from longtail.artifacts.reading import read_json
from longtail.rules.base import Evidence, Floats, Ints, Rule
from longtail.rules.knn import NearestNeighbours, load_neighbours, save_neighbours
from longtail.rules.search import mean_class_accuracy


@dataclass(frozen=True)
class NeighbourRule(Rule):
    """`neighbours`: what answers. A rule of this kind says what they are, and its `key`."""

    key: ClassVar[str]

    neighbours: NearestNeighbours
    score: float

    @classmethod
    @abstractmethod
    def neighbours_of(cls, evidence: Evidence, fitted: Mapping[str, Rule]) -> NearestNeighbours:
        """The classifier on this evidence; `fitted`: as of `fit`."""

    @classmethod
    def fit(cls, evidence: Evidence, fitted: Mapping[str, Rule]) -> Self:
        neighbours = cls.neighbours_of(evidence, fitted)
        said = np.concatenate([neighbours.predict(evidence.embeddings[at])[0] for at in evidence.validated()])
        return cls(neighbours, mean_class_accuracy(evidence.validation[evidence.validation >= 0], said))

    def predict(self, embeddings: Floats, logits: Floats | None) -> tuple[Ints, Floats]:
        return self.neighbours.predict(embeddings)

    def can_answer(self, code: int) -> bool:
        return self.neighbours.can_answer(code)

    def save(self, folder: Path, task: str) -> None:
        save_neighbours(folder / f"{self.key}-{task}", self.neighbours, score=self.score)

    @classmethod
    def load(cls, folder: Path, task: str) -> Self:
        own = folder / f"{cls.key}-{task}"
        return cls(load_neighbours(own), read_json(own / "about.json")["score"])
