"""The triple-header hinge loss (LMLE, Eq. 2)."""

import math
from typing import Literal, NamedTuple

import torch
from pydantic import BaseModel, Field
from torch import Tensor

# D of Eq. 1 and 2: its formula is squared, while the bounds of the margins are chords, not squared.
Distance = Literal["squared", "euclidean"]


class Margins(BaseModel, extra="forbid"):
    """g1 between clusters, g2 within the class, g3 between classes; in the unit of the distances that they part."""

    g1: float = Field(ge=0, description="between clusters of the class")
    g2: float = Field(ge=0, description="within the class")
    g3: float = Field(ge=0, description="between classes")


DEFAULT_MARGINS = Margins(g1=0.02, g2=0.1, g3=0.5)


def margin_bounds(
    class_sizes: list[int], cluster_size: int, share: float = 1.0, distance: Distance = "squared"
) -> tuple[float, list[float], float]:
    """Upper bounds of g1, of g2 for each class, and of g3 (LMLE, section 3.2).

    g1 = 2 sin(π s l / L), g2 = 2 sin(π s (L_c − l) / L), g3 = 2 sin(π / C), with L samples in all, C classes, clusters
    of l samples, and classes that fill a share s of the sphere. A class no larger than l has a g2 of 0. These are
    chords; of squared distances their squares are the bounds.
    """
    total = sum(class_sizes)

    def bound(angle: float) -> float:
        chord = 2 * math.sin(min(angle, math.pi / 2))
        return chord**2 if distance == "squared" else chord

    g2 = [bound(math.pi * share * max(0, size - cluster_size) / total) for size in class_sizes]
    return bound(math.pi * share * cluster_size / total), g2, bound(math.pi / len(class_sizes))


def decreasing_margins(
    class_sizes: list[int], cluster_size: int, *, share: float = 1.0, count: int = 5, distance: Distance = "squared"
) -> list[Margins]:
    """`count` margins for a coarse search (LMLE, section 3.2): the upper bounds, then each half of the one before.

    Of the classes' bounds on g2 the largest is taken.
    """
    g1, g2, g3 = margin_bounds(class_sizes, cluster_size, share, distance)
    return [Margins(g1=g1 / 2**n, g2=max(g2) / 2**n, g3=g3 / 2**n) for n in range(count)]


class Hinges(NamedTuple):
    """The loss and its three weighted parts, scalars."""

    loss: Tensor
    cluster: Tensor
    within_class: Tensor
    between_class: Tensor


def triple_header_hinge(
    embeddings: Tensor,
    quintuplets: Tensor,
    has_other_cluster: Tensor,
    weights: Tensor,
    margins: Margins,
    distance: Distance = "squared",
) -> Hinges:
    """Eq. 2 without its regulariser (which is the optimiser's weight decay).

    Parameters: `embeddings` (m, d), each image of the batch once; `quintuplets` (B, 5) rows of `embeddings`: anchor,
    p+, p−, p−−, n; `has_other_cluster` (B,) bool, False switches the first two hinges off; `weights` (B,), which sum
    to 1: a weighted mean over the batch. Where p−− is p− or p+ once more the second hinge is off too: alone it would be
    g2, or with the first g1 + g2 at least, whatever the embeddings, a floor that nothing lowers.
    """
    to_plus, to_minus, to_far, to_negative = anchor_distances(embeddings, quintuplets, distance).unbind(1)
    clusters = has_other_cluster.to(weights.dtype) * weights
    _, plus, minus, far, _ = quintuplets.unbind(1)
    within = ((minus != far) & (plus != far)).to(weights.dtype) * clusters
    cluster = (clusters * torch.relu(margins.g1 + to_plus - to_minus)).sum()
    within_class = (within * torch.relu(margins.g2 + to_minus - to_far)).sum()
    between_class = (weights * torch.relu(margins.g3 + to_far - to_negative)).sum()
    return Hinges(cluster + within_class + between_class, cluster, within_class, between_class)


def anchor_distances(embeddings: Tensor, rows: Tensor, distance: Distance = "squared") -> Tensor:
    """Distances (B, p) from an anchor, the first of the `rows` (B, 1 + p), to the others; at 0 the gradient is 0."""
    anchor, *others = embeddings[rows.T]
    differences = torch.stack([anchor - other for other in others], dim=1)
    euclidean = distance == "euclidean"
    found: Tensor = torch.linalg.vector_norm(differences, dim=2) if euclidean else differences.square().sum(dim=2)
    return found
