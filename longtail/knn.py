"""Nearest-neighbour classification (LMLE, section 4): cluster-wise with the large-margin decision, and sample-wise."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import faiss
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Decision = Literal["large_margin", "vote"]

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

    def predict(self, embeddings: Floats) -> tuple[Ints, Floats]:
        """Class codes (n,) and class scores (n, K), the predicted class having the highest score."""
        distances, neighbours = search(self.points, embeddings, self.k)
        return decide(distances, self.classes[neighbours], self.class_count, self.decision)


def search(points: Floats, queries: Floats, k: int) -> tuple[Floats, Ints]:
    """Squared distances and positions, both (n, k), of the k nearest points, nearest first; k > m means all of them."""
    index = faiss.IndexFlatL2(points.shape[1])
    index.add(np.ascontiguousarray(points, np.float32))
    distances, neighbours = index.search(np.ascontiguousarray(queries, np.float32), min(k, len(points)))
    return distances, neighbours


def decide(distances: Floats, classes: Ints, class_count: int, decision: Decision) -> tuple[Ints, Floats]:
    """Classify from the neighbours' distances (n, k), nearest first, and classes (n, k)."""
    scores = large_margin(distances, classes, class_count) if decision == "large_margin" else vote(classes, class_count)
    return np.argmax(scores, axis=1).astype(np.int64), scores


def large_margin(distances: Floats, classes: Ints, class_count: int) -> Floats:
    """Eq. 3: for each class, the smallest distance to any other class less the largest distance to this one, (n, K).

    A class outside the neighbourhood scores ABSENT, the only class of a neighbourhood ALONE.
    """
    rows = np.arange(len(classes))
    farthest_own = np.full((len(classes), class_count), -np.inf, np.float32)
    for neighbour in range(classes.shape[1]):  # nearest first: a later neighbour of the class is farther
        farthest_own[rows, classes[:, neighbour]] = distances[:, neighbour]
    foreign = classes != classes[:, :1]
    first_foreign = np.argmax(foreign, axis=1)
    # To every class but the nearest one, the nearest other class is that of the first neighbour.
    nearest_other = np.repeat(distances[:, :1], class_count, axis=1)
    nearest_other[rows, classes[:, 0]] = distances[rows, first_foreign]
    scores = np.where(np.isfinite(farthest_own), nearest_other - farthest_own, ABSENT)
    alone = ~foreign.any(axis=1)
    scores[alone, classes[alone, 0]] = ALONE
    return scores.astype(np.float32)


def vote(classes: Ints, class_count: int) -> Floats:
    """The share of the neighbours (n, k) that each class has, (n, K); a tie goes to the class that comes nearest."""
    rows = np.arange(len(classes))
    k = classes.shape[1]
    votes = np.zeros((len(classes), class_count), np.float32)
    for neighbour in range(k):
        votes[rows, classes[:, neighbour]] += 1
        first = (classes[:, :neighbour] != classes[:, neighbour : neighbour + 1]).all(axis=1)
        # Less than one vote, and more for a nearer neighbour: it only orders ties.
        votes[rows[first], classes[first, neighbour]] += (k - neighbour) / (2 * k)
    return votes / np.float32(k)


def save_index(path: Path, indexes: dict[str, NearestNeighbours]) -> None:
    """Write one classifier a task into the directory `path`."""
    path.mkdir(parents=True, exist_ok=True)
    about = {}
    for task, index in indexes.items():
        np.save(path / f"centroids-{task}.npy", index.points, allow_pickle=False)
        np.save(path / f"classes-{task}.npy", index.classes, allow_pickle=False)
        about[task] = {"class_count": index.class_count, "k": index.k, "decision": index.decision}
    (path / "index.json").write_text(json.dumps(about, indent=1) + "\n")


def load_index(path: Path) -> dict[str, NearestNeighbours]:
    """The classifiers that `save_index` wrote, by task."""
    about = json.loads((path / "index.json").read_text())
    return {
        task: NearestNeighbours(
            np.load(path / f"centroids-{task}.npy", allow_pickle=False),
            np.load(path / f"classes-{task}.npy", allow_pickle=False),
            **values,
        )
        for task, values in about.items()
    }
