"""The three class rectification losses (CRL, section 2.2), on the distances of mined pairs.

Shapes: M anchors over all attributes, K hard positives and K hard negatives each, fewer where a mask says so. A loss
without anything to compare is 0.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from longtail.methods.class_rectification.hard_mining import BLOCK, Mined

SCORE_MARGIN = 0.5  # of the relative comparison of scores, which are at most 1 apart


class Pairs(NamedTuple):
    """Distances (M, K) from each anchor to its positives and negatives, and which of them exist, bool."""

    to_positives: Tensor
    positive: Tensor
    to_negatives: Tensor
    negative: Tensor


def mined_pairs(features: Tensor, mined: Mined) -> Pairs:
    """The Euclidean distances of the mined pairs; `features` (J, B, d), differentiable."""
    positives, negatives = (_distances(features, mined, others) for others in (mined.positives, mined.negatives))
    return Pairs(positives, mined.positive, negatives, mined.negative)


def score_pairs(scores: Tensor, mined: Mined) -> Pairs:
    """How far the probabilities of the anchor's class are apart, from −1 to 1 (CRL of 2018, Eq. 10); `scores`
    (J, B, Z), differentiable.

    To a positive |p_a − p_p|; to a negative p_a − p_n, below 0 where the negative looks more like the class.
    """
    tasks, classes = mined.tasks[:, None], mined.classes[:, None]
    own = scores[tasks, mined.rows[:, None], classes]
    positives, negatives = (own - scores[tasks, others, classes] for others in (mined.positives, mined.negatives))
    return Pairs(positives.abs(), mined.positive, negatives, mined.negative)


def class_margins(class_counts: Tensor) -> Tensor:
    """The margin of each attribute, 2π / |Z_j| (CRL, Eq. 10); `class_counts` (J,): |Z_j|."""
    return 2 * math.pi / class_counts


def relative(pairs: Pairs, margins: Tensor) -> Tensor:
    """Relative comparison: the mean hinge over all triplets, at most K² an anchor (CRL, Eq. 9); `margins` (M,)."""
    hinges = torch.relu(margins[:, None, None] + pairs.to_positives[:, :, None] - pairs.to_negatives[:, None, :])
    return _mean(hinges, pairs.positive[:, :, None] & pairs.negative[:, None, :])


def absolute(pairs: Pairs, margin: float) -> Tensor:
    """Absolute comparison: positives are drawn to the anchor, negatives pushed beyond the margin (CRL, Eq. 11)."""
    attraction = _mean(pairs.to_positives.square(), pairs.positive)
    repulsion = _mean(torch.relu(margin - pairs.to_negatives).square(), pairs.negative)
    return 0.5 * (attraction + repulsion)


def distribution(pairs: Pairs, bins: int) -> Tensor:
    """Distribution comparison: the probability that a random negative pair is nearer than a positive one (Eq. 12–14).

    Both histograms have `bins` nodes from 0, or a distance of scores below it, to the largest of the distances. These
    ends are not differentiated; the paper leaves the range open.
    """
    if not (pairs.positive.any() and pairs.negative.any()):
        return pairs.to_positives.sum() * 0
    positives, negatives = pairs.to_positives[pairs.positive], pairs.to_negatives[pairs.negative]
    both = torch.cat([positives, negatives]).detach()
    least = both.min().clamp(max=0)
    step = (both.max() - least) / (bins - 1)
    nearer = _histogram(negatives - least, step, bins).cumsum(0)
    return (_histogram(positives - least, step, bins) * nearer).sum()


def _histogram(distances: Tensor, step: Tensor, bins: int) -> Tensor:
    """Eq. 12 and 13: each distance is shared by the two nodes beside it, in proportion. (P,) to (bins,)."""
    places = distances / step if step > 0 else distances * 0
    lower = places.detach().floor().clamp(max=bins - 2).long()
    upper_share = places - lower
    histogram = distances.new_zeros(bins).index_add(0, lower, 1 - upper_share).index_add(0, lower + 1, upper_share)
    return histogram / len(distances)


def _mean(values: Tensor, exists: Tensor) -> Tensor:
    return torch.where(exists, values, 0).sum() / exists.sum().clamp(min=1)


def _distances(features: Tensor, mined: Mined, others: Tensor) -> Tensor:
    first = mined.tasks * features.shape[1] + mined.rows
    second = mined.tasks[:, None] * features.shape[1] + others
    distances: Tensor = _PairDistances.apply(features.flatten(0, 1), first, second)  # type: ignore[no-untyped-call]
    return distances


class _PairDistances(torch.autograd.Function):
    """Euclidean distances (M, K) between rows `first` (M,) and `second` (M, K) of points (n, d).

    Autograd would keep M×K×d differences; these are made again, block by block. At distance 0 the gradient is 0.
    """

    @staticmethod
    def forward(ctx: Any, points: Tensor, first: Tensor, second: Tensor) -> Tensor:
        distances = points.new_empty(second.shape)
        for block in _blocks(points, second):
            distances[block] = (points[first[block], None] - points[second[block]]).square().sum(2).sqrt()
        ctx.save_for_backward(points, first, second, distances)
        return distances

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        points, first, second, distances = ctx.saved_tensors
        weights = torch.where(distances > 0, gradients[0] / distances, 0)
        result = torch.zeros_like(points)
        for block in _blocks(points, second):
            parts = weights[block][:, :, None] * (points[first[block], None] - points[second[block]])
            result.index_add_(0, first[block], parts.sum(1))
            result.index_add_(0, second[block].flatten(), -parts.flatten(0, 1))
        return result, None, None


def _blocks(points: Tensor, second: Tensor) -> list[slice]:
    size = max(1, BLOCK // max(1, second.shape[1] * points.shape[1]))
    return [slice(start, start + size) for start in range(0, len(second), size)]
