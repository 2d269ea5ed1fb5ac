"""Rules on the logits of the trained classifier alone: numbers that change them, some chosen on validation."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np

from longtail.artifacts.reading import read_json, write_json
from longtail.rules.base import Evidence, Floats, Ints, Rule
from longtail.rules.search import mean_class_accuracy


class LogitRule(Rule):
    """A dataclass of numbers, kept as JSON under the rule's key."""

    needs_logits = True

    @abstractmethod
    def scores(self, logits: Floats) -> Floats:
        """Class scores (n, K) from the classifier's logits (n, K)."""

    def predict(self, embeddings: Floats, logits: Floats | None) -> tuple[Ints, Floats]:
        assert logits is not None
        scores = self.scores(logits)
        return scores.argmax(1), scores

    def save(self, folder: Path, task: str) -> None:
        write_json(self._file(folder, task), asdict(self))  # type: ignore[call-overload]

    @classmethod
    def load(cls, folder: Path, task: str) -> Self:
        return cls(**read_json(cls._file(folder, task)))

    @classmethod
    def _file(cls, folder: Path, task: str) -> Path:
        return folder / f"{cls.__module__.rpartition('.')[2]}-{task}.json"


@dataclass(frozen=True)
class Strength:
    """The strength τ that is chosen, its mean per-class accuracy on validation, and that of each by rising strength;
    `reached`: how good the chosen one is by the measure that it is chosen by.
    """

    chosen: float
    score: float
    reached: float
    scores: dict[float, float]


def choose_strength(
    evidence: Evidence, strengths: Sequence[float], changed: Callable[[Floats, float], Floats]
) -> Strength:
    """Try every strength on the validation samples; `changed` gives logits (n, K) by a strength. The best by the
    evidence's measure is chosen, the first of equals.
    """
    assert evidence.logits is not None
    truth = evidence.validation[evidence.validation >= 0]
    parts: dict[float, list[Ints]] = {tau: [] for tau in strengths}
    for at in evidence.validated():
        logits = evidence.logits[at]
        for tau, part in parts.items():
            part.append(changed(logits, tau).argmax(1))
    said = {tau: np.concatenate(part) for tau, part in parts.items()}
    reached = {tau: evidence.reached(truth, answers) for tau, answers in said.items()}
    scores = {tau: mean_class_accuracy(truth, said[tau]) for tau in sorted(strengths)}
    best = max(strengths, key=reached.__getitem__)
    return Strength(best, scores[best], reached[best], scores)
