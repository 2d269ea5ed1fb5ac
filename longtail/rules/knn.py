"""Nearest-neighbour classification (LMLE, section 4): cluster-wise with the large-margin decision, and sample-wise."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import faiss
import numpy as np
import numpy.typing as npt
from faiss import swig_ptr

from longtail.artifacts.reading import read_array, read_json, write_json

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Decision = Literal["large_margin", "vote"]

# Class scores are worked out for so many rows at a time that a block holds at most this many (128 MiB of float64).
BLOCK = 2**24

# Margins of Eq. 3 lie in [−4, 4] on the unit sphere; these stand for "not in the neighbourhood" and "alone in it".
ABSENT = np.float32(-5)
ALONE = np.float32(5)


@dataclass(frozen=True)
class NearestNeighbours:
    """A kNN classifier over `points` (m, d) of known class: cluster centroids, class means or single samples."""

    points: Floats
    classes: Ints
    class_count: int
    k: int
    decision: Decision

    @cached_property
    def _index(self) -> faiss.IndexFlatL2:
        return _flat_index(self.points)

    def predict(self, embeddings: Floats) -> tuple[Ints, Floats]:
        """Class codes (n,) and class scores (n, K), the predicted class having the highest score.

        The first call makes the search index; it holds a copy of the points.
        """
        distances, neighbours = _search(self._index, self.points, embeddings, self.k)
        return decide(distances, self.classes[neighbours], self.class_count, self.decision)

    def with_points(self, points: Floats, classes: Ints, class_count: int) -> "NearestNeighbours":
        """The classifier over these points (n, d) too; `class_count`: of all classes."""
        every = np.concatenate([self.points, points.astype(np.float32)])
        return replace(self, points=every, classes=np.concatenate([self.classes, classes]), class_count=class_count)

    def can_answer(self, code: int) -> bool:
        """Whether a class wins wherever all of its points are the nearest: by votes too few of them never would."""
        points = np.count_nonzero(self.classes == code)
        return self.decision == "large_margin" or 2 * int(points) >= min(self.k, len(self.points))


def nearest(points: Floats, queries: Floats, k: int) -> tuple[Floats, Ints]:
    """Squared distances and positions, both (n, k), of the k nearest points, nearest first; k > m means all of them."""
    return search_among(points)(queries, k)


def search_among(points: Floats) -> Callable[[Floats, int], tuple[Floats, Ints]]:
    """`nearest` among the same points (m, d) for several queries, which copies them once."""
    return partial(_search, _flat_index(points), points)


def _flat_index(points: Floats) -> faiss.IndexFlatL2:
    index = faiss.IndexFlatL2(points.shape[1])
    index.add(np.ascontiguousarray(points, np.float32))
    return index


def _search(index: faiss.IndexFlatL2, points: Floats, queries: Floats, k: int) -> tuple[Floats, Ints]:
    if queries.shape[1] != points.shape[1]:
        raise ValueError(f"queries of {queries.shape[1]} dimensions for points of {points.shape[1]}")
    queries = np.ascontiguousarray(queries, np.float32)
    count, k = len(queries), min(k, len(points))
    distances, neighbours = np.empty((count, k), np.float32), np.empty((count, k), np.int64)
    # index.search without its own checks and defaults: a tenth of the time that one query among 800 centroids takes.
    index.search_c(count, swig_ptr(queries), k, swig_ptr(distances), swig_ptr(neighbours))  # type: ignore[attr-defined]
    return distances, neighbours


def decide(distances: Floats, classes: Ints, class_count: int, decision: Decision) -> tuple[Ints, Floats]:
    """Classify from the neighbours' distances (n, k), nearest first, and classes (n, k)."""
    if decision == "large_margin":
        scores = large_margin(distances, classes, class_count)
    else:
        blocks = [vote(classes[rows], class_count) for rows in row_blocks(len(classes), class_count)]
        scores = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
    return scores.argmax(1), scores


def row_blocks(rows: int, columns: int) -> list[slice]:
    """At least one slice of the rows, each of at most BLOCK numbers in so many columns."""
    size = max(1, BLOCK // columns)
    return [slice(start, min(start + size, rows)) for start in range(0, max(rows, 1), size)]


def large_margin(distances: Floats, classes: Ints, class_count: int) -> Floats:
    """Eq. 3: for each class, the smallest distance to any other class less the largest distance to this one, (n, K).

    A class outside the neighbourhood scores ABSENT, the only class of a neighbourhood ALONE.
    """
    scores = _scores(len(classes), class_count, ABSENT)
    if len(classes) == 1:
        _margins_of_one(distances[0].tolist(), classes[0].tolist(), scores[0])
        return scores
    rows = np.arange(len(classes))[:, None]
    foreign = classes != classes[:, :1]
    first_foreign = foreign.argmax(1, keepdims=True)  # 0, the nearest neighbour itself: there is none
    # To every class but the nearest one, the nearest other class is that of the first neighbour.
    margins = np.where(foreign, distances[:, :1], distances[rows, first_foreign])
    margins -= distances
    # Nearest first: of a class's neighbours `put` leaves the last, which is the farthest.
    scores.put(rows * class_count + classes, margins)
    alone = np.flatnonzero(first_foreign == 0)
    scores[alone, classes[alone, 0]] = ALONE
    return scores


def _margins_of_one(distances: list[float], classes: list[int], scores: Floats) -> None:
    # One query is answered in a few microseconds, of which the calls of numpy above would be most.
    farthest = dict(zip(classes, distances, strict=True))  # the last of each class
    nearest, *others = farthest
    for other in others:
        scores[other] = distances[0] - farthest[other]
    # A dict keeps the order of the first of each class: others[0] is the nearest other class.
    scores[nearest] = distances[classes.index(others[0])] - farthest[nearest] if others else ALONE


def vote(classes: Ints, class_count: int) -> Floats:
    """The share of the neighbours (n, k) that each class has, (n, K); a tie goes to the class that comes nearest."""
    n, k = classes.shape
    places = np.arange(n)[:, None] * class_count + classes
    votes = np.bincount(places.ravel(), minlength=n * class_count).reshape(n, class_count)
    # Less than one vote, and more for a nearer neighbour: it only orders ties. Of a class's neighbours `put` leaves the
    # last, here the nearest.
    ahead = _scores(n, class_count, np.float32(0))
    ahead.put(places[:, ::-1], np.arange(1, k + 1) / (2 * k))
    shares: Floats = ((votes + ahead) / k).astype(np.float32)
    return shares


def _scores(queries: int, class_count: int, value: np.float32) -> Floats:
    scores: Floats = np.empty((queries, class_count), np.float32)
    scores.fill(value)  # a third of the time of np.full, which one query would notice
    return scores


def save_neighbours(folder: Path, classifier: NearestNeighbours, **about: Any) -> None:
    """Write a classifier, and a few words about it, into a directory of its own."""
    folder.mkdir(parents=True)
    np.save(folder / "points.npy", classifier.points, allow_pickle=False)
    np.save(folder / "classes.npy", classifier.classes, allow_pickle=False)
    own = {"class_count": classifier.class_count, "k": classifier.k, "decision": classifier.decision}
    write_json(folder / "about.json", own | about)


def load_neighbours(folder: Path) -> NearestNeighbours:
    """The classifier that `save_neighbours` wrote. Raises DataError if it cannot be read."""
    about = read_json(folder / "about.json")
    points, classes = read_array(folder / "points.npy"), read_array(folder / "classes.npy")
    return NearestNeighbours(points, classes, about["class_count"], about["k"], about["decision"])
