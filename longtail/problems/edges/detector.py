"""A trained model as an edge detector: from a photograph to its edge map."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from PIL import Image

from longtail.data.dataset import PackedDataset
from longtail.data.jpeg import Pixels
from longtail.data.photographs import Photographs
from longtail.data.splits import Split
from longtail.errors import DataError
from longtail.network.device import device, warn_of_bfloat16
from longtail.network.embedder import Embedder, load_embedder
from longtail.network.snapshot import State, read_embeddings
from longtail.problems.edges import transfer
from longtail.problems.edges.dense import Grid, patches
from longtail.problems.edges.settings import NEIGHBOURS, PATCHES, Settings, Transferred
from longtail.rules.base import Floats, rule_class
from longtail.rules.cluster_wise import ClusterWise
from longtail.rules.probabilities import Probabilities


@dataclass(frozen=True)
class Detector:
    """`describe` makes of patches, uint8 n×side×side×C, what `transfer` takes."""

    side: int
    channels: int
    describe: Callable[[Pixels], Floats]
    transfer: transfer.Transfer
    settings: Settings

    @classmethod
    def load(cls, dataset: Path, split: Path, index: Path, settings: Settings) -> Self:
        """The detector of a directory that `index` wrote, of the data and split that it was trained on.

        Raises DataError if one of them cannot be read, or the data set is none of annotated photographs.
        """
        packed, table = PackedDataset.open(dataset), Split.open(split)
        if packed.photographs is None:
            raise DataError(f"{dataset} has no photographs with annotations; make it of the source bsds500")
        embedder, key = load_embedder(index / "snapshot"), settings.rule or State.read(index).rule
        if embedder.network:
            embedder.network.to(device())
        if settings.precision == "bfloat16":
            warn_of_bfloat16("`precision`")
        kind = settings.transfer
        if kind is None:
            of_classes = settings.rule is not None or rule_class(key).needs_logits
            kind = Transferred.CLASSES if of_classes else Transferred.CLUSTERS
        (task,) = table.tasks
        if kind is Transferred.CLASSES:
            describe = class_probabilities(embedder, index, task.name, key)
        else:
            describe = lambda block: embedder(block)[task.name]  # noqa: E731
        side, _, channels = embedder.image_shape
        if settings.side > side:
            raise DataError(f"`side` is {settings.side}, more than the {side} pixels of a patch; give {side} at most")
        if settings.stride > side:
            raise DataError(
                f"`stride` is {settings.stride}, more than the {side} pixels of a patch, so that some pixels are in "
                f"none; give {side} at most"
            )
        return cls(side, channels, describe, _transfer(kind, packed.photographs, table, index, settings), settings)

    def detect(self, pixels: Pixels) -> Floats:
        """From a photograph, uint8 H×W×C, to its edge map, float32 H×W in 0 to 1.

        Raises DataError if the photograph is smaller than a patch at one of the scales.
        """
        self.check(pixels.shape[0], pixels.shape[1], "a photograph")
        total = np.zeros(pixels.shape[:2], np.float32)
        for scale in self.settings.scales:
            total += self._at_one_scale(pixels) if scale == 1 else self._scaled(pixels, scale)
        return total / np.float32(len(self.settings.scales))

    def check(self, height: int, width: int, name: str) -> None:
        """Raise DataError, which names the photograph so, if it is smaller than a patch at one of the scales."""
        for scale in self.settings.scales:
            scaled = _scaled_shape(height, width, scale)
            if min(scaled) < self.side:
                at = "" if scale == 1 else f", {scaled[0]}×{scaled[1]} at the scale {scale:g}"
                raise DataError(
                    f"{name} is {height}×{width}{at}, smaller than a patch of {self.side}×{self.side}; give a larger "
                    "image" + ("" if scale == 1 else ", or leave the scale out")
                )

    def _scaled(self, pixels: Pixels, scale: float) -> Floats:
        height, width, channels = pixels.shape
        scaled_height, scaled_width = _scaled_shape(height, width, scale)
        flat = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
        scaled = np.asarray(flat.resize((scaled_width, scaled_height), Image.Resampling.BICUBIC))
        scaled = scaled.reshape(scaled_height, scaled_width, channels)
        found = Image.fromarray(self._at_one_scale(scaled)).resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(found, np.float32)

    def _at_one_scale(self, pixels: Pixels) -> Floats:
        height, width = pixels.shape[:2]
        grid = Grid(height, width, self.settings.stride)
        canvas = transfer.Canvas(grid, self.settings.side)
        halved = torch.autocast(device().type, torch.bfloat16, enabled=self.settings.precision == "bfloat16")
        for block in patches(pixels, self.side, grid):
            with halved:
                described = self.describe(block)
            canvas.lay(self.transfer(described))
        return spread(canvas.map(), self.settings.side)


def _scaled_shape(height: int, width: int, scale: float) -> tuple[int, int]:
    return max(1, round(height * scale)), max(1, round(width * scale))


def spread(mean: Floats, side: int) -> Floats:
    """1 − (1 − m)^side of the mean m of the windows over a pixel: that one of `side` independent ones has an edge.

    The order of pixels stays. Of the side² windows over a pixel of a line only `side` have it at their centre, and the
    others tell less of it: means lie in the lowest tenth, among few of the thresholds that a map is measured at.
    """
    return np.asarray(1 - (1 - mean.clip(0, 1).astype(np.float64)) ** side, np.float32)


def class_probabilities(embedder: Embedder, index: Path, task: str, key: str) -> Callable[[Pixels], Floats]:
    """Class probabilities (n, K) by a rule. Raises DataError if the index has none of this key."""
    probabilities = Probabilities.read(index, task, key)
    rule = rule_class(key).load(index / "rules", task)

    def describe(block: Pixels) -> Floats:
        if not rule.needs_logits:
            return probabilities.of(*rule.predict(embedder(block)[task], None))
        embeddings, logits = embedder.all_embedded_and_classified(block)
        return probabilities.of(*rule.predict(embeddings[task], logits[task]))

    return describe


def _transfer(
    kind: Transferred, photographs: Photographs, table: Split, index: Path, settings: Settings
) -> transfer.Transfer:
    (task,) = table.tasks
    neighbours, count = settings.neighbours or NEIGHBOURS, settings.patches or PATCHES
    rows, train, side = table.samples["row"].to_numpy(), table.train_labels(task), settings.side
    if kind is Transferred.CLASSES:
        return transfer.of_classes(transfer.mean_windows(photographs, rows, train, len(task.classes), side))
    rule = ClusterWise.load(index / "rules", task.name)
    points, assignment = rule.neighbours.points, rule.clusters.assignment
    if kind is Transferred.CLUSTERS:
        windows = transfer.mean_windows(photographs, rows, assignment, len(points), side)
        return transfer.of_clusters(points, windows, neighbours)
    known = np.flatnonzero(train >= 0)
    embeddings = read_embeddings(index / "snapshot", task.name)[known]
    drawn = photographs.annotation_windows(rows[known], side)
    return transfer.of_patches(points, embeddings, assignment[known], drawn, neighbours, count)
