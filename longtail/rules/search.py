"""Choosing a nearest-neighbour classifier on validation: the number of neighbours and the decision rule."""

from dataclasses import dataclass
from typing import Annotated, get_args

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from longtail.rules.knn import Decision, NearestNeighbours, decide, nearest

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


class Search(BaseModel, extra="forbid"):
    """What is tried on validation. A k beyond the number of clusters means all of them and is tried once."""

    neighbours: list[Annotated[int, Field(ge=1)]] = Field([1, 2, 3, 5, 7, 10, 15, 20, 30, 50], min_length=1)
    decisions: list[Decision] = Field(list(get_args(Decision)), min_length=1)


@dataclass(frozen=True)
class Choice:
    """The chosen classifier, its mean per-class accuracy on validation, and the whole curve."""

    classifier: NearestNeighbours
    score: float
    curve: list[dict[str, float | str]]


def choose(points: Floats, classes: Ints, class_count: int, queries: Floats, truth: Ints, search: Search) -> Choice:
    """Try every k and decision on the validation queries (n, d) of known class (n,); ties go to the smaller k."""
    sizes = sorted({min(k, len(points)) for k in search.neighbours})
    distances, neighbours = nearest(points, queries, sizes[-1])
    tried: list[tuple[float, int, Decision]] = []
    for k in sizes:
        for decision in search.decisions:
            predicted, _ = decide(distances[:, :k], classes[neighbours[:, :k]], class_count, decision)
            tried.append((mean_class_accuracy(truth, predicted), k, decision))
    score, k, decision = max(tried, key=lambda result: result[0])  # the first of equals, and k rises
    curve: list[dict[str, float | str]] = [{"k": k, "decision": d, "score": s} for s, k, d in tried]
    return Choice(NearestNeighbours(points, classes, class_count, k, decision), score, curve)


def mean_class_accuracy(truth: Ints, predicted: Ints) -> float:
    """The mean, over the classes that occur in `truth`, of the share of their samples that are predicted right."""
    counts = np.bincount(truth)
    right = np.bincount(truth[truth == predicted], minlength=len(counts))
    return float((right[counts > 0] / counts[counts > 0]).mean())


def accuracy_under(truth: Ints, answers: Ints, target: Floats | None) -> float:
    """The accuracy that would be reached if classes came as the target has them, by default evenly; classes without a
    sample are left out.
    """
    if target is None:
        return mean_class_accuracy(truth, answers)
    counts = np.bincount(truth, minlength=len(target))
    right = np.bincount(truth[truth == answers], minlength=len(target))
    there = counts > 0
    return float((target[there] * right[there] / counts[there]).sum() / target[there].sum())
