"""Labels hidden at random, so that complete data become as incomplete as collections are."""

import zlib

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
HIDDEN_IN = ("train", "validation")  # the test subset measures every sample that it has a label for


def hidden_labels(
    task: str, labels: Ints, subset: npt.NDArray[np.str_], groups: Ints, share: float, seed: int
) -> Bools:
    """Which samples (n,) lose their label: of training and of validation, `share` of those with one.

    `labels` (n,) class codes, −1 missing; `groups` (n,) codes: all labels of a group in a subset are hidden or none.
    One group of every class of either subset keeps its labels. A function of the seed and the task's name.
    """
    rng = np.random.default_rng([seed, zlib.crc32(task.encode())])
    order = rng.permutation(int(groups.max(initial=-1)) + 1)  # of each group its place in the queue
    mask = np.zeros(len(labels), np.bool_)
    for name in HIDDEN_IN:
        rows = np.flatnonzero((subset == name) & (labels >= 0))
        mask[rows] = _first(order[groups[rows]], labels[rows], share * len(rows))
    return mask


def _first(places: Ints, labels: Ints, count: float) -> Bools:
    """The samples of the first groups in the queue, as near to `count` as can be; of each class the last group stays.

    `places` (n,) of each sample's group in the queue; `labels` (n,) class codes.
    """
    last = np.full(int(labels.max(initial=-1)) + 1, -1)
    np.maximum.at(last, labels, places)
    queue, sizes = np.unique(places[~np.isin(places, last)], return_counts=True)
    totals = np.cumsum([0, *sizes])
    chosen: Bools = np.isin(places, queue[: int(np.argmin(np.abs(totals - count)))])
    return chosen
