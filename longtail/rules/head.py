"""The head: the classifier that was trained, by its largest logit."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from longtail.artifacts.reading import read_json, write_json
from longtail.rules.base import Evidence, Floats, Ints, Rule
from longtail.rules.search import mean_class_accuracy


@dataclass(frozen=True)
class Head(Rule):
    """Nothing is fitted: the training has done it."""

    title = "softmax head"
    needs_logits = True

    score: float

    @classmethod
    def fit(cls, evidence: Evidence, fitted: Mapping[str, Rule]) -> Self:
        assert evidence.logits is not None
        known = evidence.validation >= 0
        return cls(mean_class_accuracy(evidence.validation[known], evidence.logits[known].argmax(1)))

    def predict(self, embeddings: Floats, logits: Floats | None) -> tuple[Ints, Floats]:
        assert logits is not None
        return logits.argmax(1), logits

    def save(self, folder: Path, task: str) -> None:
        write_json(folder / f"head-{task}.json", {"score": self.score})

    @classmethod
    def load(cls, folder: Path, task: str) -> Self:
        return cls(**read_json(folder / f"head-{task}.json"))


RULE = Head
