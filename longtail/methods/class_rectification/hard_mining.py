"""Batch-wise hard mining of minority classes (CRL, section 2.1), for all attributes at once.

Shapes: J attributes, B samples of a mini-batch, Z classes of the attribute that has most, M anchors, K hard samples.
Nothing here is differentiated.
"""

from typing import NamedTuple

import torch
from torch import Tensor

BLOCK = 2**24  # elements of the largest intermediate


class Mined(NamedTuple):
    """The anchors and their hard samples.

    `tasks`, `rows` and `classes` (M,): which sample of the mini-batch is an anchor for which attribute, and its class
    there. `positives` and `negatives` (M, K): rows of the mini-batch; `positive` and `negative` (M, K) bool are False
    where an anchor has fewer than K of them, and the row there means nothing. Of equally hard samples the first rows
    are taken.
    """

    tasks: Tensor
    rows: Tensor
    classes: Tensor
    positives: Tensor
    positive: Tensor
    negatives: Tensor
    negative: Tensor


class Anchors(NamedTuple):
    """The samples (M,) of minority classes: attribute, row of the mini-batch, class."""

    tasks: Tensor
    rows: Tensor
    classes: Tensor


def minority_classes(labels: Tensor, class_count: int) -> Tensor:
    """Which classes are minorities in this mini-batch, (J, Z) bool (CRL, Eq. 3).

    `labels` (J, B): class codes, −1 where the label is missing. An attribute's classes are taken in the order of their
    counts, of equals the lower code first, as long as together they hold less than half of its labelled samples. So
    empty classes are the first, and of two classes of half the samples each none is a minority.
    """
    counts = _counts(labels, class_count)
    order = counts.argsort(dim=1, stable=True)
    held = counts.gather(1, order).cumsum(1)
    return torch.zeros_like(held, dtype=torch.bool).scatter(1, order, 2 * held < counts.sum(1, keepdim=True))


def find_anchors(labels: Tensor, class_count: int) -> Anchors:
    """Every sample of a minority class that has two samples or more; one alone has no positive."""
    chosen = minority_classes(labels, class_count) & (_counts(labels, class_count) >= 2)
    tasks, rows = ((labels >= 0) & chosen.gather(1, labels.clamp(min=0))).nonzero(as_tuple=True)
    return Anchors(tasks, rows, labels[tasks, rows])


@torch.no_grad()
def mine_by_class(labels: Tensor, scores: Tensor, k: int) -> Mined:
    """Hard samples of each minority class (CRL, Eq. 4 and 5), the same for all of its anchors.

    `labels` (J, B) as above; `scores` (J, B, Z): the model's probability of each class. Positives are the k samples of
    the class to which the model gives it least, the anchor itself left out; negatives the k labelled samples of other
    classes to which it gives it most.
    """
    anchors = find_anchors(labels, scores.shape[2])
    groups, group = torch.unique(anchors.tasks * scores.shape[2] + anchors.classes, return_inverse=True)
    tasks, classes = groups // scores.shape[2], groups % scores.shape[2]
    of_class, known = scores[tasks, :, classes], labels[tasks]
    same = known == classes[:, None]
    positives, positive = (found[group] for found in _first(-of_class, same, k))
    negatives, negative = (found[group] for found in _first(of_class, (known >= 0) & ~same, k))
    other = positives != anchors.rows[:, None]
    return Mined(*anchors, positives, positive & other, negatives, negative)


@torch.no_grad()
def mine_by_instance(labels: Tensor, scores: Tensor, features: Tensor, k: int, *, misclassified: bool = True) -> Mined:
    """Hard samples of each anchor (CRL, Eq. 6 and 7).

    `labels` and `scores` as above; `features` (J, B, d). Positives are the k samples of the anchor's class that lie
    farthest from it, the anchor itself left out, and of the `misclassified` alone or of all; negatives the k nearest
    labelled samples of other classes. Where the model gets every other sample of the class right there is no
    misclassified positive.
    """
    anchors = find_anchors(labels, scores.shape[2])
    candidates = scores.argmax(2) != labels if misclassified else labels >= 0
    found = []
    size = max(1, BLOCK // max(1, labels.shape[1]) ** 2)  # a process may have no image
    for first in range(0, len(labels), size):
        mine = (anchors.tasks >= first) & (anchors.tasks < first + size)
        tasks, rows = anchors.tasks[mine], anchors.rows[mine]
        distances = _squared_distances(features[first : first + size])[tasks - first, rows]
        known, classes = labels[tasks], anchors.classes[mine, None]
        hard = (known == classes) & candidates[tasks]
        hard.scatter_(1, rows[:, None], False)
        other = (known >= 0) & (known != classes)
        found.append((*_first(distances, hard, k), *_first(-distances, other, k)))
    return Mined(*anchors, *(torch.cat(parts) for parts in zip(*found, strict=True)))


def _counts(labels: Tensor, class_count: int) -> Tensor:
    """Samples of each class, (J, Z)."""
    counts = labels.new_zeros(len(labels), class_count + 1)
    return counts.scatter_add_(1, labels.remainder(class_count + 1), torch.ones_like(labels))[:, :class_count]


def _first(values: Tensor, allowed: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The columns of the k largest allowed values of each row, of equals the first columns, and whether there are k.

    They come in the order of the columns.
    """
    k = min(k, values.shape[1])
    values = values.masked_fill(~allowed | values.isnan(), -torch.inf)
    # Which of equal values topk takes is left open, and not the same on every device.
    smallest = values.topk(k, dim=1).values[:, -1:]
    ahead, tied = values > smallest, values == smallest
    taken = ahead | (tied & (tied.cumsum(1) <= k - ahead.sum(1, keepdim=True)))
    columns = taken.nonzero()[:, 1].view(len(values), k)
    return columns, values.gather(1, columns) > -torch.inf


def _squared_distances(features: Tensor) -> Tensor:
    """(J, B, d) to (J, B, B); as a product, since only their order counts."""
    # Autocast would take the product in bfloat16, and what the features have in common would hide how they differ.
    with torch.autocast(features.device.type, enabled=False):
        centred = features - features.mean(1, keepdim=True)
        norms = centred.square().sum(2)
        return torch.baddbmm(norms[:, :, None] + norms[:, None, :], centred, centred.mT, alpha=-2)
