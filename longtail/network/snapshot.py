"""What a training leaves behind: the network or prior features, and the embeddings of all samples of the split.

A model directory holds `state.json` and one or two snapshots: `current`, and `best` where an earlier round was better.
A snapshot holds `network.json`, `network.safetensors` (not for hand-crafted features), `embeddings-<task>.npy`, of the
first task alone where all have the same, and, after softmax training, `logits-<task>.npy` and `prior.json`; rows are
aligned with the split's table.
"""

from collections.abc import Mapping
from operator import not_
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from longtail.artifacts.reading import UNREADABLE, read_array, read_json, reason, write_json
from longtail.data.dataset import Task
from longtail.data.preprocessing import Preprocessing
from longtail.errors import DataError
from longtail.network.pooling.params import AVERAGE, PoolingParams

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
NETWORK, PRIOR = "network.json", "prior.json"
Features = Literal["network", "backbone", "pixels", "hog"]
HAND_CRAFTED = ("pixels", "hog")  # by no network


class Round(BaseModel, extra="forbid"):
    """One line of the history: per task its validation mean per-class accuracy, and the training curve."""

    round: int
    scores: dict[str, float]
    curve: list[dict[str, float]]


def mean_score(scores: dict[str, float]) -> float:
    """What rounds are compared by: the mean over the tasks."""
    return sum(scores.values()) / len(scores)


class State(BaseModel, extra="forbid"):
    """What state.json holds. `rule` is the key of the rule that scores the model on validation and answers for it.

    Round 0 is what rounds start from: what `start` made, or a training of `fits`. The best round is the one that is
    indexed and evaluated. The history begins with round 0.
    """

    rule: str
    round: int = 0
    best_round: int = 0
    stopped: bool = False
    history: list[Round]

    @property
    def best_score(self) -> float:
        """The score of the best round. Only what was trained has one."""
        return mean_score(self.history[self.best_round].scores)

    @classmethod
    def read(cls, model: Path) -> Self:
        """The state of a model directory. Raises DataError if there is none."""
        try:
            return cls.model_validate_json((model / "state.json").read_text(encoding="utf-8"))
        except UNREADABLE as error:
            why = reason(error, "state.json")
            raise DataError(
                f"{model} is not a model: {why}; make it with `longtail start`, `fit` or `train`"
            ) from error

    def write(self, model: Path) -> None:
        """Write state.json."""
        (model / "state.json").write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")


class Blueprint(BaseModel, extra="forbid"):
    """What network.json holds: all that is needed to build the network and load its weights."""

    features: Features
    backbone: str
    pooling: PoolingParams = Field(AVERAGE, exclude_if=lambda pooling: pooling == AVERAGE)
    embedding: int | None
    shared_embedding: bool = False
    relu: bool | Literal["classifier"] = True
    hidden: list[int] = []
    task_layers: list[int] = []
    dropout: float = 0.0
    initialisation: Literal["torch", "he"] = "torch"
    tasks: list[Task]
    image_shape: tuple[int, int, int]
    preprocessing: Preprocessing | None = Field(None, description="from an image's file to its pixels, as ingest did")
    inference: dict[str, Any] = Field({}, exclude_if=not_, description="how the network sees an image, see `Inference`")
    method: dict[str, Any] | None = Field(None, description="parameters of the method whose classifiers it has")

    @property
    def one_embedding(self) -> bool:
        """Whether all tasks have the same embedding."""
        return self.shared_embedding or self.features != "network" or self.embedding is None

    @property
    def embedded(self) -> list[str]:
        """The tasks whose embeddings a snapshot holds: all, or the first where they are the same."""
        return [task.name for task in self.tasks[: 1 if self.one_embedding else None]]


def current(model: Path) -> Path:
    """The snapshot of the last round trained."""
    return model / "current"


def best(model: Path) -> Path:
    """The snapshot of the best round so far."""
    return model / "best" if (model / "best").is_dir() else model / "current"


def read_embeddings(snapshot: Path, task: str) -> Floats:
    """float32 (samples of the split, d), on the unit sphere, read when they are asked for. Raises DataError if there
    are none.
    """
    file = snapshot / f"embeddings-{task}.npy"
    if not file.is_file() and (snapshot / NETWORK).is_file() and (blueprint := read_blueprint(snapshot)).one_embedding:
        file = snapshot / f"embeddings-{blueprint.embedded[0]}.npy"
    if not file.is_file():
        raise DataError(
            f"{snapshot} has no embeddings of {task!r}: leave out `embeddings: false` of `start`, or train it again; "
            "in place of an index that `longtail add` made give the one that it was made from"
        )
    return read_array(file, mapped=True)


SAME = 0.05  # from the median, of embeddings of length 1: no margin of the papers fits into it


def collapse_warning(task: str, embeddings: Floats, labels: Ints) -> str | None:
    """What to say if nearly all samples (n, d) of every class lie about one point, None if they do not.

    `labels` (n,): class codes, −1 where unknown. Where classes are apart, each at a point of its own, nothing is lost.
    """
    drawn = slice(None, None, max(1, len(labels) // 10_000))
    points, codes = embeddings[drawn], labels[drawn]
    at_centre = np.linalg.norm(points - np.median(points, axis=0), axis=1) < SAME
    shares = [at_centre[codes == code].mean() for code in np.unique(codes[codes >= 0])]
    if len(shares) < 2 or min(shares) < 0.9:
        return None
    return (
        f"The embedding of {task} has collapsed: nearly all samples of every class lie about the same point. Lower the "
        "margins or the weight of the loss that draws samples together, or the learning rate; where quintuplets come "
        "from a table, take partners at a `quintuplets.quantile` below 1."
    )


def read_logits(snapshot: Path, task: str) -> Floats | None:
    """float32 (samples of the split, K), or None where no softmax classifier was trained. Of many classes they are more
    than memory holds: take rows of them.
    """
    file = snapshot / f"logits-{task}.npy"
    return read_array(file, mapped=True) if file.is_file() else None


def read_priors(snapshot: Path, task: str) -> list[Floats]:
    """float32 (K,) each: the share of each class in what the classifier was trained on at the end of its training and,
    where that changed, at the beginning; none where no classifier was trained.
    """
    file = snapshot / PRIOR
    if not file.is_file():
        return []
    try:
        return list(np.atleast_2d(np.asarray(read_json(file)[task], np.float32)))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{file} has no prior of {task!r}; train the model again") from error


def write_priors(snapshot: Path, end: Mapping[str, Floats], beginning: Mapping[str, Floats] | None = None) -> None:
    """Write, for each task, the share of each class in what the classifier was trained on, in the end and, where it was
    another, at the beginning.
    """
    shares = {task: of_task.tolist() for task, of_task in end.items()}
    if beginning is not None:
        shares = {task: [of_task, beginning[task].tolist()] for task, of_task in shares.items()}
    write_json(snapshot / PRIOR, shares)


def read_blueprint(snapshot: Path) -> Blueprint:
    """What the snapshot's network is. Raises DataError if it does not say."""
    try:
        return Blueprint.model_validate_json((snapshot / NETWORK).read_text(encoding="utf-8"))
    except UNREADABLE as error:
        why = reason(error, NETWORK)
        raise DataError(f"{snapshot} is not a snapshot of a network: {why}; train the model again") from error
