"""Soft voting of anchor points: a class by how near all of its points are, the nearer ones with the larger part.

Source: Cui, Zhou, Lin and Belongie, CVPR 2016, Eq. 2.3 by the number that it has in Cui's dissertation (Cornell
University, 2019). Its K is 3, and γ it finds by cross-validation; both are chosen on validation here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from longtail.artifacts.reading import read_array, read_json, write_json
from longtail.rules.base import Addition, Evidence, Floats, Ints, Rule
from longtail.rules.clusters import anchor_points
from longtail.rules.distances import squared_distances
from longtail.rules.knn import row_blocks
from longtail.rules.search import mean_class_accuracy

# γ, the paper's first: it stays where another is no better.
GAMMAS = (5.0, 10.0, 2.0, 20.0, 1.0, 50.0)
FARTHEST = 4.0  # squared distance of a point on the sphere to one inside of it
BEHIND = 20.0  # by how much the score of a class without a point lies below the least of the others: e^−20


@dataclass(frozen=True)
class SoftVoting(Rule):
    """`points` (C, K, d): the anchor points of the classes `codes` (C,); of all classes `class_count`. `gamma` is γ.
    `curve`: the mean per-class accuracy on validation of each K and γ.
    """

    title = "soft voting of anchor points"

    points: Floats
    codes: Ints
    class_count: int
    gamma: float
    score: float
    curve: list[dict[str, float]]

    @classmethod
    def fit(cls, evidence: Evidence, fitted: Mapping[str, Rule]) -> Self:
        labelled = evidence.train[evidence.train >= 0]
        classes, (first, *others) = len(np.unique(labelled)), evidence.search.anchors
        counts = [first, *(count for count in others if count * classes < len(labelled))]
        tried = [one for count in counts for one in cls._tried(evidence, count)]
        best, _ = max(tried, key=lambda one: one[1])  # of equals the first
        curve = [{"anchors": rule.points.shape[1], "gamma": rule.gamma, "score": rule.score} for rule, _ in tried]
        return replace(best, curve=sorted(curve, key=lambda one: (one["anchors"], one["gamma"])))

    @classmethod
    def _tried(cls, evidence: Evidence, count: int) -> list[tuple[Self, float]]:
        """The rule of so many anchor points with every γ, and what it reaches on validation by the measure."""
        points, codes = anchor_points(evidence.embeddings, evidence.train, count, seed=evidence.seed)
        known = np.flatnonzero(evidence.validation >= 0)
        truth = evidence.validation[known]
        rules = [cls(points, codes, evidence.class_count, gamma, 0.0, []) for gamma in GAMMAS]
        said = [np.empty(len(known), np.int64) for _ in rules]
        for rows in row_blocks(len(known), max(evidence.class_count, points[..., 0].size)):
            distances = rules[0].distances(evidence.embeddings[known[rows]])
            for rule, answers in zip(rules, said, strict=True):
                answers[rows] = rule.scores(distances).argmax(1)
        return [
            (replace(rule, score=mean_class_accuracy(truth, answers)), evidence.reached(truth, answers))
            for rule, answers in zip(rules, said, strict=True)
        ]

    def predict(self, embeddings: Floats, logits: Floats | None) -> tuple[Ints, Floats]:
        blocks = row_blocks(len(embeddings), self.points[..., 0].size)
        scores = np.concatenate([self.scores(self.distances(embeddings[rows])) for rows in blocks])
        return scores.argmax(1), scores

    def distances(self, embeddings: Floats) -> npt.NDArray[np.float64]:
        """The squared distances (n, C, K) of embeddings (n, d) to the anchor points."""
        flat = self.points.astype(np.float64).reshape(-1, self.points.shape[2])
        return squared_distances(embeddings.astype(np.float64), flat).reshape(-1, *self.points.shape[:2])

    def scores(self, distances: npt.NDArray[np.float64]) -> Floats:
        """Class scores (n, class_count) by such distances."""
        found = np.full((len(distances), self.class_count), self.absent, np.float32)
        found[:, self.codes] = soft_votes(distances, self.gamma)
        return found

    @property
    def absent(self) -> float:
        """The score of a class without an anchor point."""
        return -FARTHEST * self.gamma - BEHIND

    def extended(self, addition: Addition) -> Self:
        points, codes = anchor_points(addition.embeddings, addition.labels, self.points.shape[1])
        every = np.concatenate([self.points, points]), np.concatenate([self.codes, codes])
        return replace(self, points=every[0], codes=every[1], class_count=addition.class_count)

    def save(self, folder: Path, task: str) -> None:
        own = _folder(folder, task)
        own.mkdir(parents=True)
        np.save(own / "points.npy", self.points, allow_pickle=False)
        np.save(own / "codes.npy", self.codes, allow_pickle=False)
        about = {"class_count": self.class_count, "gamma": self.gamma, "score": self.score, "curve": self.curve}
        write_json(own / "about.json", about)

    @classmethod
    def load(cls, folder: Path, task: str) -> Self:
        own = _folder(folder, task)
        return cls(read_array(own / "points.npy"), read_array(own / "codes.npy"), **read_json(own / "about.json"))

    def summary(self) -> dict[str, Any]:
        return {"score": self.score, "anchors": self.points.shape[1], "gamma": self.gamma, "curve": self.curve}


def soft_votes(distances: npt.NDArray[np.float64], gamma: float) -> npt.NDArray[np.float64]:
    """log Σ_j exp(−γ D_ij) of squared distances (n, C, K), to (n, C); its softmax is p of Eq. 2.3."""
    votes = -gamma * distances
    most = votes.max(2, keepdims=True)
    logs: npt.NDArray[np.float64] = most[:, :, 0] + np.log(np.exp(votes - most).sum(2))
    return logs


def _folder(folder: Path, task: str) -> Path:
    return folder / f"soft_voting-{task}"


RULE = SoftVoting
