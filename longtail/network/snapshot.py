"""What a round leaves behind: the network or prior features, and the embeddings of all samples of the split.

A model directory holds `state.json` and one or two snapshots: `current`, and `best` where an earlier round was better.
A snapshot holds `network.json`, `network.safetensors` (not for hand-crafted features), `embeddings-<task>.npy`
and, after softmax training, `logits-<task>.npy`; their rows are aligned with the split's table.
"""

from pathlib import Path
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from longtail.artifacts.reading import UNREADABLE, read_array, reason
from longtail.data.dataset import Task
from longtail.errors import DataError

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Features = Literal["network", "backbone", "pixels", "hog"]
Judge = Literal["cluster_wise", "head"]  # the classifier by which rounds are compared


class Round(BaseModel, extra="forbid"):
    """One line of the history: per task its validation mean per-class accuracy, and the training curve."""

    round: int
    scores: dict[str, float]
    curve: list[dict[str, float]]


def mean_score(scores: dict[str, float]) -> float:
    """What rounds are compared by: the mean over the tasks."""
    return sum(scores.values()) / len(scores)


class State(BaseModel, extra="forbid"):
    """What state.json holds. The best round, by the classifier `judge`, is the one that is indexed and evaluated."""

    judge: Judge = "cluster_wise"
    round: int
    best_round: int
    best_score: float
    stopped: bool
    history: list[Round]

    @classmethod
    def read(cls, model: Path) -> Self:
        """The state of a model directory. Raises DataError if there is none."""
        try:
            return cls.model_validate_json((model / "state.json").read_text())
        except UNREADABLE as error:
            why = reason(error, "state.json")
            raise DataError(
                f"{model} is not a model: {why}; make it with `longtail start`, `train` or `fit`"
            ) from error

    def write(self, model: Path) -> None:
        """Write state.json."""
        (model / "state.json").write_text(self.model_dump_json(indent=1) + "\n")


class Blueprint(BaseModel, extra="forbid"):
    """What network.json holds: all that is needed to build the network and load its weights."""

    features: Features
    backbone: str
    embedding: int
    shared_embedding: bool = False
    tasks: list[Task]
    image_shape: tuple[int, int, int]

    @property
    def one_embedding(self) -> bool:
        """Whether all tasks have the same embedding."""
        return self.shared_embedding or self.features != "network"


def current(model: Path) -> Path:
    """The snapshot of the last round trained."""
    return model / "current"


def best(model: Path) -> Path:
    """The snapshot of the best round so far."""
    return model / "best" if (model / "best").is_dir() else model / "current"


def read_embeddings(snapshot: Path, task: str) -> Floats:
    """float32 (samples of the split, d), on the unit sphere."""
    return read_array(snapshot / f"embeddings-{task}.npy")


def collapse(task: str, embeddings: Floats, labels: Ints) -> str | None:
    """What to say if nearly all samples (n, d) of every class have one embedding, None if they have not.

    `labels` (n,): class codes, −1 where unknown. Where classes are apart, each at a point of its own, nothing is lost.
    """
    some = slice(None, None, max(1, len(labels) // 10_000))
    points, codes = embeddings[some], labels[some]
    at_centre = np.linalg.norm(points - np.median(points, axis=0), axis=1) < 0.01
    shares = [at_centre[codes == code].mean() for code in np.unique(codes[codes >= 0])]
    if len(shares) < 2 or min(shares) < 0.9:
        return None
    return (
        f"The embedding of {task} has collapsed: nearly all samples of every class have the same. Lower the margins or "
        "the weight of the loss that draws samples together, or the learning rate."
    )


def read_logits(snapshot: Path, task: str) -> Floats | None:
    """float32 (samples of the split, K), or None where no softmax classifier was trained."""
    file = snapshot / f"logits-{task}.npy"
    return read_array(file) if file.is_file() else None


def read_blueprint(snapshot: Path) -> Blueprint:
    """What the snapshot's network is. Raises DataError if it does not say."""
    try:
        return Blueprint.model_validate_json((snapshot / "network.json").read_text())
    except UNREADABLE as error:
        why = reason(error, "network.json")
        raise DataError(f"{snapshot} is not a snapshot of a network: {why}; train the model again") from error
