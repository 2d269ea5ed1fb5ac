"""Choosing on validation: by which measure, and of a nearest-neighbour classifier the number of neighbours and the
decision rule.
"""

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from longtail.rules.knn import Decision, NearestNeighbours, decide, nearest, row_blocks

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Measure = Literal["mean_class_accuracy", "average_f1"]
ANCHORS = [3, 10, 20, 50]  # the paper's first: it stays where another is no better


class Search(BaseModel, extra="forbid"):
    """What is tried on validation. A k beyond the number of clusters means all of them and is tried once."""

    neighbours: list[Annotated[int, Field(ge=1)]] = Field(
        [1, 2, 3, 5, 7, 10, 15, 20, 30, 50], min_length=1, description="the k of kNN"
    )
    decisions: list[Decision] = Field(
        list(get_args(Decision)), min_length=1, description="large_margin: Eq. 3 of LMLE; vote: of the k nearest"
    )
    anchors: list[Annotated[int, Field(ge=1)]] = Field(
        ANCHORS,
        min_length=1,
        exclude_if=lambda counts: counts == ANCHORS,
        description="K of soft_voting, anchor points in every class; beside the first, those of which there are fewer "
        "than training samples",
    )


@dataclass(frozen=True)
class Choice:
    """The chosen classifier, its mean per-class accuracy on validation, and the whole curve."""

    classifier: NearestNeighbours
    score: float
    curve: list[dict[str, float | str]]


def choose(
    points: Floats,
    classes: Ints,
    class_count: int,
    queries: Floats,
    truth: Ints,
    search: Search,
    measure: Measure = "mean_class_accuracy",
) -> Choice:
    """Try every k and decision on the validation queries (n, d) of known class (n,); ties go to the smaller k."""
    sizes = sorted({min(k, len(points)) for k in search.neighbours})
    distances, neighbours = nearest(points, queries, sizes[-1])
    tried: list[tuple[float, float, int, Decision]] = []
    for k in sizes:
        for decision in search.decisions:
            blocks = row_blocks(len(queries), class_count)
            parts = [
                decide(distances[rows, :k], classes[neighbours[rows, :k]], class_count, decision)[0] for rows in blocks
            ]
            predicted = np.concatenate(parts)
            score = mean_class_accuracy(truth, predicted)
            tried.append((reached(measure, truth, predicted), score, k, decision))
    _, score, k, decision = max(tried, key=lambda result: result[0])  # the first of equals, and k rises
    curve: list[dict[str, float | str]] = [{"k": k, "decision": d, "score": s} for _, s, k, d in tried]
    return Choice(NearestNeighbours(points, classes, class_count, k, decision), score, curve)


def mean_class_accuracy(truth: Ints, predicted: Ints) -> float:
    """The mean, over the classes that occur in `truth`, of the share of their samples that are predicted right."""
    counts = np.bincount(truth)
    right = np.bincount(truth[truth == predicted], minlength=len(counts))
    return float((right[counts > 0] / counts[counts > 0]).mean())


def reached(measure: Measure, truth: Ints, answers: Ints, target: Floats | None = None) -> float:
    """What is to be as high as can be on validation samples of known class (n,), where classes come as the target has
    them. Without one `mean_class_accuracy` takes them to be even, and `average_f1` as they are among the samples.
    """
    return average_f1(truth, answers, target) if measure == "average_f1" else accuracy_under(truth, answers, target)


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


def average_f1(truth: Ints, answers: Ints, target: Floats | None = None) -> float:
    """The mean F1 of the classes that occur in `truth`, which would be reached if classes came as the target has them,
    by default as they come.
    """
    classes = max(len(np.bincount(codes)) for codes in (truth, answers)) if target is None else len(target)
    counts = np.bincount(truth, minlength=classes)
    there = counts > 0
    each = np.ones(classes) if target is None else target / np.maximum(counts, 1)
    right = each * np.bincount(truth[truth == answers], minlength=classes)
    answered = np.bincount(answers, each[truth], minlength=classes)
    return float((2 * right[there] / (each * counts + answered)[there]).mean())
