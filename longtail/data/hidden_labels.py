"""Labels hidden at random, so that complete data become as incomplete as collections are."""

import zlib

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
HIDDEN_IN = ("train", "validation")  # the test subset measures every sample that it has a label for


def hidden_labels(
    queue: str, labels: Ints, subset: npt.NDArray[np.str_], groups: Ints, share: float, seed: int
) -> Bools:
    """Which samples (n,) lose their label: of training and of validation, `share` of those with one.

    `labels` (n,) class codes, −1 missing; `groups` (n,) codes: all labels of a group in a subset are hidden or none.
    One group of every class of either subset keeps its labels. Groups lose theirs in the order of a random `queue`,
    which seed and name decide: of two tasks in one queue, who lacks the label more seldom missing lacks the other too.
    """
    rng = np.random.default_rng([seed, zlib.crc32(queue.encode())])
    order = rng.permutation(int(groups.max(initial=-1)) + 1)  # of each group its place in the queue
    mask = np.zeros(len(labels), np.bool_)
    for name in HIDDEN_IN:
        rows = np.flatnonzero((subset == name) & (labels >= 0))
        mask[rows] = _chosen(order[groups[rows]], labels[rows], share * len(rows))
    return mask


def _chosen(places: Ints, labels: Ints, count: float) -> Bools:
    """The samples of the groups that, in the order of the queue, each bring the sum nearer to `count`; of each class
    the last group stays. `places` (n,) of each sample's group in the queue; `labels` (n,) class codes.
    """
    last = np.full(int(labels.max(initial=-1)) + 1, -1)
    np.maximum.at(last, labels, places)
    queue, sizes = np.unique(places[~np.isin(places, last)], return_counts=True)
    chosen, left = [], count
    for place, size in zip(queue.tolist(), sizes.tolist(), strict=True):
        if size < 2 * left:
            chosen.append(place)
            left -= size
    return np.isin(places, chosen)
