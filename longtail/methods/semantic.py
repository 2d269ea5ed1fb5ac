"""Semantic similarity: how alike the labels of two samples are, and the loss that lets distances follow it.

Source: Dorozynski, Addressing Class Imbalance for Training a Multi-Task Classifier in the Context of Silk Heritage,
ISPRS Annals 2023, Eq. 6; of one task whose labels are all known it is Eq. 3 of Dorozynski and Rottensteiner, Addressing
Class Imbalance in Multi-Class Image Classification by Means of Auxiliary Feature Space Restrictions, ISPRS Archives
2022.
"""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

PAIRS = 2**19  # anchors and others at a time: some 60 MB in all tensors on the way, and 3 MB more a task


def label_agreement(codes: Tensor, others: Tensor, backgrounds: Tensor) -> tuple[Tensor, Tensor]:
    """Of how many tasks two samples are known to have the same label, M·Y, and of how many they may have it for all
    that is known, M·(Y + u).

    Parameters: `codes` (M, A) and `others` (M, B): class codes of each task, −1 unknown; `backgrounds` (M,): the code
    of its background class, −1 where it has none. Two labels can be compared if both are known; two samples of the
    background may be of the same class or not. Results: int64 (A, B).
    """
    of_first, of_second = codes[:, :, None], others[:, None, :]
    known = (of_first >= 0) & (of_second >= 0)
    equal = known & (of_first == of_second)
    background = equal & (of_first == backgrounds[:, None, None])
    return (equal & ~background).sum(0), (equal | ~known).sum(0)


def valid_triplets(codes: Tensor, backgrounds: Tensor) -> Tensor:
    """Of how many triplets whose margin is positive each sample is the anchor, int64 (B,).

    Parameters: `codes` (M, B) and `backgrounds` (M,) as in `label_agreement`.
    """
    found = [
        torch.stack([_pairs(*masks) for _, *masks in _levels(alike, possible, len(codes))]).sum(0)
        for _, alike, possible in _blocks(codes, backgrounds)
    ]
    return torch.cat(found)


def semantic_similarity_loss(distances: Tensor, codes: Tensor, backgrounds: Tensor) -> Tensor:
    """The mean of max(M(i, p, n) + Δ(i, p) − Δ(i, n), 0) over all triplets whose margin M(i, p, n) = Y(i, p) − (Y(i, n)
    + u(i, n)) is positive: by which i and p are surely more alike than i and n. 0 without such a triplet.

    Parameters: `distances` (B, B): Δ; `codes` (M, B) and `backgrounds` (M,) as in `label_agreement`.
    """
    loss: Tensor = _TripletHinge.apply(distances, codes, backgrounds)  # type: ignore[no-untyped-call]
    return loss


class _TripletHinge(torch.autograd.Function):
    """The loss and its gradient, without a tensor of the B³ triplets: distances are sorted, and those of the negatives
    that violate a margin are then the first so many, of which prefix sums know the number and the sum.
    """

    @staticmethod
    def forward(ctx: Any, distances: Tensor, codes: Tensor, backgrounds: Tensor) -> Tensor:
        found = [
            _of_anchors(distances[block], alike, possible, len(codes))
            for block, alike, possible in _blocks(codes, backgrounds)
        ]
        totals, counts, gradients = zip(*found, strict=True)
        count = torch.stack(counts).sum().clamp(min=1)  # stays on the device: to look at it makes a GPU wait
        ctx.save_for_backward(torch.cat(gradients) / count.to(distances.dtype))
        return (torch.stack(totals).sum() / count).to(distances.dtype)

    @staticmethod
    def backward(ctx: Any, output: Tensor) -> tuple[Tensor, None, None]:
        return output * ctx.saved_tensors[0], None, None


def _blocks(codes: Tensor, backgrounds: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Block after block of anchors, one of none if there are none: which they are, and their `label_agreement` with all
    samples, of which they do not agree with themselves.
    """
    samples = codes.shape[1]
    rows = max(1, PAIRS // max(1, samples))
    for start in range(0, max(1, samples), rows):
        block = slice(start, start + rows)
        alike, possible = label_agreement(codes[:, block], codes, backgrounds)
        alike[:, block].fill_diagonal_(0)
        yield block, alike, possible


def _levels(alike: Tensor, possible: Tensor, tasks: int) -> Iterator[tuple[int, Tensor, Tensor]]:
    """By the number of tasks in which negatives have the anchor's label at most: the positives, which surely have it in
    more, and these negatives, (A, B).
    """
    for level in range(tasks):
        yield level, alike > level, possible == level


def _pairs(positive: Tensor, negative: Tensor) -> Tensor:
    """Of each anchor the pairs of a positive and a negative, (A,)."""
    return positive.sum(1) * negative.sum(1)


def _of_anchors(distances: Tensor, alike: Tensor, possible: Tensor, tasks: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of some anchors (rows) with all others: the sum of the hinges, the number of valid triplets, and the gradient of
    the sum.
    """
    exact = distances.double()
    ordered, order = exact.sort(dim=1)
    total, gradient, by_rank = exact.new_zeros(()), torch.zeros_like(exact), torch.zeros_like(exact)
    count = alike.new_zeros(())
    for level, positive, negative in _levels(alike, possible, tasks):
        count += _pairs(positive, negative).sum()
        reach = torch.where(positive, exact + (alike - level).double() / tasks, -torch.inf)
        # The negatives that a positive violates are among the first so many.
        nearer = torch.searchsorted(ordered, reach)
        among = negative.gather(1, order)
        violated = _up_to(among.double()).gather(1, nearer)
        total += (violated * torch.where(positive, reach, 0) - _up_to(among * ordered).gather(1, nearer)).sum()
        gradient += violated
        # How many positives violate the negative of each rank: those that reach beyond it.
        ends = torch.zeros_like(_up_to(exact)).scatter_add_(1, nearer, torch.ones_like(exact))
        reached = ends.cumsum(1)[:, :-1]
        by_rank += (reach.shape[1] - reached) * among
    gradient -= torch.zeros_like(exact).scatter_(1, order, by_rank)
    return total, count, gradient.to(distances.dtype)


def _up_to(values: Tensor) -> Tensor:
    """The sums of the first 0, 1, … n values of each row, (B, n + 1)."""
    return F.pad(values.cumsum(1), (1, 0))
