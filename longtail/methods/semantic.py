"""Semantic similarity: how alike the labels of two samples are, and the loss that lets distances follow it.

Source: Dorozynski, Addressing Class Imbalance for Training a Multi-Task Classifier in the Context of Silk Heritage,
ISPRS Annals 2023, Eq. 6; of one task whose labels are all known it is Eq. 3 of Dorozynski and Rottensteiner, Addressing
Class Imbalance in Multi-Class Image Classification by Means of Auxiliary Feature Space Restrictions, ISPRS Archives
2022.
"""

from typing import Any

import torch
from torch import Tensor

# Triplets at a time: some 100 MB in all tensors on the way, however many the mini-batch has.
TRIPLETS = 2**22


def label_agreement(codes: Tensor, backgrounds: Tensor) -> tuple[Tensor, Tensor]:
    """Of how many tasks two samples are known to have the same label, M·Y, and of how many they may have it for all
    that is known, M·(Y + u).

    Parameters: `codes` (M, B): class codes of each task, −1 unknown; `backgrounds` (M,): the code of its background
    class, −1 where it has none. Two labels can be compared if both are known; two samples of the background may be of
    the same class or not. Results: int64 (B, B).
    """
    of_first, of_second = codes[:, :, None], codes[:, None, :]
    known = (of_first >= 0) & (of_second >= 0)
    equal = known & (of_first == of_second)
    background = equal & (of_first == backgrounds[:, None, None])
    return (equal & ~background).sum(0), (equal | ~known).sum(0)


def semantic_similarity_loss(distances: Tensor, codes: Tensor, backgrounds: Tensor) -> Tensor:
    """The mean of max(M(i, p, n) + Δ(i, p) − Δ(i, n), 0) over all triplets whose margin M(i, p, n) = Y(i, p) − (Y(i, n)
    + u(i, n)) is positive: by which i and p are surely more alike than i and n. 0 without such a triplet.

    Parameters: `distances` (B, B): Δ; the others as in `label_agreement`.
    """
    same, possible = label_agreement(codes, backgrounds)
    loss: Tensor = _TripletHinge.apply(distances, same, possible, len(codes))  # type: ignore[no-untyped-call]
    return loss


class _TripletHinge(torch.autograd.Function):
    """The loss and its gradient block by block: autograd would keep all B³ triplets until the way back."""

    @staticmethod
    def forward(ctx: Any, distances: Tensor, same: Tensor, possible: Tensor, tasks: int) -> Tensor:
        alike = same.clone().fill_diagonal_(0)
        anchors, positives = alike.nonzero(as_tuple=True)
        total, count = distances.new_zeros(()), 0
        gradient = torch.zeros_like(distances)
        step = max(1, TRIPLETS // max(1, len(distances)))
        for start in range(0, len(anchors), step):
            i, p = anchors[start : start + step], positives[start : start + step]
            valid = alike[i, p][:, None] > possible[i]
            margin = (alike[i, p][:, None] - possible[i]).to(distances.dtype) / tasks
            hinge = torch.where(valid, margin + distances[i, p][:, None] - distances[i], 0).clamp_(min=0)
            violated = (hinge > 0).to(distances.dtype)
            total, count = total + hinge.sum(), count + int(valid.sum())
            gradient.index_put_((i, p), violated.sum(1), accumulate=True)
            gradient.index_add_(0, i, violated, alpha=-1)
        ctx.save_for_backward(gradient / max(1, count))
        return total / max(1, count)

    @staticmethod
    def backward(ctx: Any, output: Tensor) -> tuple[Tensor, None, None, None]:
        return output * ctx.saved_tensors[0], None, None, None
