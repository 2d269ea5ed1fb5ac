"""Auxiliary feature clustering: losses by which distances of unit vectors reflect how alike the images are.

Sources: Dorozynski and Rottensteiner 2022 (one task), Dorozynski 2023 (many). `semantic.py` has the one by labels.
"""

from typing import Any

import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor

from longtail.data.colours import standardised
from longtail.methods.base import Ints, Method, MethodParams, Setup
from longtail.methods.batch import to_device
from longtail.methods.colours import check_colours
from longtail.methods.semantic import semantic_similarity_loss

NEAREST = 1e-12  # of squared distances: the root's gradient is infinite at 0


class ClusteringParams(MethodParams):
    """The weights of the losses (Eq. 1, 2 and 5); with `clustering: 0` it is classification alone."""

    classification: float = Field(1.0, gt=0, le=1, description="λ_C, of the classification loss")
    clustering: float = Field(1.0, ge=0, le=1, description="λ_aux, of the auxiliary clustering loss")
    semantic: float = Field(0.5, ge=0, le=1, description="α_sem: semantic similarity, inside the clustering loss")
    colour: float = Field(0.5, ge=0, le=1, description="α_co: colour similarity, which needs `ingest.colours`")

    def in_vain(self) -> str | None:
        """As of every method."""
        if self.clustering and not self.compared:
            return "all similarity losses weigh 0, so `clustering` has nothing to weigh: set it to 0"
        return super().in_vain()

    @property
    def compared(self) -> float:
        """The weights of the similarity losses, in sum."""
        return self.semantic + self.colour

    @property
    def needs_colours(self) -> bool:
        """Whether it compares the colours of images."""
        return self.clustering > 0 and self.colour > 0


class ClusteringMethod(Method):
    """What the two silk classifiers share: colours beside the labels, and a sum of similarity losses."""

    distinct = True

    def __init__(self, setup: Setup, params: ClusteringParams) -> None:
        super().__init__(setup)
        self.params, self.backgrounds = params, setup.backgrounds
        check_colours(params, setup.colours)
        self.colours = standardised(setup.colours) if params.needs_colours and setup.colours is not None else None

    def colours_of(self, positions: Ints) -> dict[str, npt.NDArray[Any]]:
        """The target `colours` (B, cells) of samples, if it is needed: standardised histograms."""
        return {} if self.colours is None else {"colours": self.colours[positions]}

    def similarity_losses(
        self, points: Tensor, codes: Tensor, tasks: list[str], colours: Tensor | None
    ) -> dict[str, Tensor]:
        """The losses with a weight, by name; `points` (B, d) on the unit sphere, `codes` (M, B) of the tasks."""
        found = {}
        distances = pairwise_distances(points)
        if self.params.semantic:
            backgrounds = to_device(torch.tensor([self.backgrounds.get(task, -1) for task in tasks]), points.device)
            found["semantic"] = semantic_similarity_loss(distances, codes, backgrounds)
        if colours is not None:
            found["colour"] = colour_similarity_loss(distances, colours)
        return found

    def weighed(self, parts: dict[str, Tensor]) -> dict[str, Tensor]:
        """The scalars to log: the parts, and their weighted sum, the loss (Eq. 1, 2 and 5)."""
        weights = {
            part: getattr(self.params, part) * (1.0 if part == "classification" else self.params.clustering)
            for part in parts
        }
        return {"loss": torch.stack([weights[part] * loss for part, loss in parts.items()]).sum()} | parts

    def warnings(self) -> list[str]:
        return [*self._of_costs(), *self._of_batches()]

    def _of_costs(self) -> list[str]:
        if not self.sampling.cost:
            return []
        return [
            f"costs weigh the classes of {self.params.kind}, and the papers have no class weights; theirs is "
            "`cost: false`"
        ]

    def _of_batches(self) -> list[str]:
        if self.sampling.sampling != "class_even":
            return []
        counts = {task: of_task[of_task > 0] for task, of_task in self._counts.items()}
        limits = {task: int(present.min()) * len(present) for task, present in counts.items()}
        return [
            f"a mini-batch of {self._batch} samples cannot be class-balanced without an image twice: by Eq. 5 of the "
            f"paper it has at most N_min·K = {counts[task].min()}·{len(counts[task])} = {limit} samples for {task}; "
            "images of the smallest classes are in it once, with the weight of all their draws"
            for task, limit in limits.items()
            if self._batch > limit
        ]


def pairwise_distances(points: Tensor) -> Tensor:
    """Euclidean, not squared, of unit vectors (B, d) to each other, (B, B); without a gradient where two are equal."""
    return (2 - 2 * points @ points.T).clamp(min=NEAREST).sqrt()


def colour_similarity_loss(distances: Tensor, colours: Tensor) -> Tensor:
    """The mean of |Δ(i, o) − (1 − ρ(i, o))| over all pairs i ≠ o (Eq. 4; Eq. 7 for many tasks), 0 without a pair.

    Parameters: `distances` (B, B); `colours` (B, cells), rows of mean 0 and length 1, whose products are ρ.
    """
    margins = 1 - colours @ colours.T
    apart = ~torch.eye(len(distances), dtype=torch.bool, device=distances.device)
    return torch.where(apart, (distances - margins).abs(), 0).sum() / apart.sum().clamp(min=1)


def self_similarity_loss(points: Tensor, augmented: Tensor) -> Tensor:
    """The mean distance of images and their augmentations (Eq. 8 for many tasks), both (B, d) on the unit sphere; 0
    without any.
    """
    distances: Tensor = torch.linalg.vector_norm(points - augmented, dim=1)
    return distances.sum() / max(1, len(points))
