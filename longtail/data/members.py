"""The samples of each class, found in one pass: a search for each class alone takes hours where classes are many."""

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def members(codes: Ints) -> dict[int, Ints]:
    """By code, rising, the positions of the samples that have it, rising; of `codes` (n,), of which −1 is none."""
    order = np.argsort(codes, kind="stable")
    order = order[np.searchsorted(codes, 0, sorter=order) :]
    found, starts = np.unique(codes[order], return_index=True)
    return dict(zip(found.tolist(), np.split(order, starts[1:]), strict=True)) if len(found) else {}
