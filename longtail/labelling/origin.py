"""The labelled images that a model comes from: exemplars of its classes, and what validation says of its answers."""

from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from longtail.artifacts.digests import check_artifact
from longtail.artifacts.lineage import Lineage, check_same_rows
from longtail.data.dataset import PackedDataset, Task
from longtail.data.splits import Split
from longtail.errors import DataError
from longtail.inference.answerer import TaskAnswerer
from longtail.labelling.pictures import write_pixels
from longtail.metrics.conformal import MARGINAL, least_probabilities
from longtail.network.snapshot import read_embeddings, read_logits
from longtail.rules.base import Floats, Ints
from longtail.sources.quoting import listed

EXEMPLARS = 6  # of a class
Float64s = npt.NDArray[np.float64]


class Origin(NamedTuple):
    """The packed data set and the split of a model."""

    dataset: PackedDataset
    split: Split

    @classmethod
    def open(cls, dataset: Path, split: Path, index: Path, task: Task) -> Self:
        """Raises DataError if they are not those of the index, or cannot be read."""
        check_same_rows("propose", {"dataset": Lineage.read(dataset), "split": Lineage.read(split)})
        check_same_rows("propose", {"split": Lineage.read(split), "index": Lineage.read(index)})
        for artifact in (dataset, split):
            check_artifact(artifact)
        opened = cls(PackedDataset.open(dataset), Split.open(split))
        known = {one.name: one.classes for one in opened.split.tasks}.get(task.name, [])
        if task.classes[: len(known)] != known or not known:
            raise DataError(f"{split} has other classes of {task.name!r} than {index}: {listed(known)}")
        return opened


def scored(index: Path, task: TaskAnswerer, split: Split) -> tuple[Ints, Ints, Floats]:
    """The positions in the split of the labelled validation samples (n,), their class codes (n,), and the probability
    of each class (n, K), by the rule that answers. Nothing was trained on them, but rules were chosen by them.
    """
    truth = split.scored_labels(task.task, "validation")
    positions: Ints = np.flatnonzero(truth >= 0).astype(np.int64)
    snapshot = index / "snapshot"
    embeddings, logits = read_embeddings(snapshot, task.task.name), read_logits(snapshot, task.task.name)
    if len(embeddings) != len(truth):
        raise DataError(f"{snapshot} has embeddings of {len(embeddings)} samples, its split has {len(truth)}")
    answers = task.answer(embeddings[positions], None if logits is None else logits[positions])
    return positions, truth[positions], answers.probabilities


def least_probabilities_of(index: Path, task: TaskAnswerer, split: Split) -> Float64s:
    """With which probability (K,) a class is in a prediction set that holds the true class of 90 % of images like those
    of validation.
    """
    _, truth, shares = scored(index, task, split)
    logits = np.log(np.maximum(shares, np.finfo(np.float32).tiny))
    foreground = np.array([name != task.task.background for name in task.task.classes])
    floors: Float64s = least_probabilities(lambda: iter([(logits, truth)]), foreground, None)[MARGINAL]
    return floors


def write_exemplars(folder: Path, origin: Origin | None, task: TaskAnswerer, seed: int) -> None:
    """For each class a folder, by its number, of training images: one of each of its largest clusters, then more."""
    folder.mkdir()
    if origin is None:
        return
    for code in range(len(task.task.classes)):
        (folder / str(code)).mkdir()
        chosen = _spread(task.clusters.clusters.assignment, task.clusters.clusters.classes, code, seed)
        rows = origin.split.samples["row"].to_numpy()[chosen]
        for place, pixels in enumerate(origin.dataset.images(rows)):
            write_pixels(pixels, folder / str(code) / f"{place}.jpg")


def _spread(assignment: Ints, classes: Ints, code: int, seed: int) -> Ints:
    """Positions of at most EXEMPLARS samples of a class, in turn from its clusters, the largest first."""
    drawn = np.random.default_rng([seed, code]).permutation(len(assignment))
    own = np.flatnonzero(classes == code)
    drawn = drawn[np.isin(assignment[drawn], own)]
    of_class = [drawn[assignment[drawn] == cluster] for cluster in own]
    of_class.sort(key=len, reverse=True)
    turns = [members[turn] for turn in range(EXEMPLARS) for members in of_class if turn < len(members)]
    return np.array(turns[:EXEMPLARS], np.int64)
