"""Pairs that an embedding took for copies, looked at again: one that training has drawn together may hold no copy."""

from collections.abc import Callable

import numpy as np

from longtail.audit.duplicates import Copy
from longtail.audit.neighbours import Neighbours
from longtail.granularity.distance import Ints, Points

ALIKE = 0.5  # of the distance to usual neighbours, in pixels
USUAL = 10
MOST = 1000  # each takes the pixels of a dozen images


def alike(copies: list[Copy], found: Neighbours, pixels: Callable[[Ints], Points]) -> list[Copy]:
    """Of the MOST surest pairs those whose pixels are less than half as far apart as the first of them is, in the
    median, from the others near it; `pixels` gives those of samples at some positions, (n, d).
    """
    return [copy for copy in copies[:MOST] if _alike(copy, found, pixels)]


def _alike(copy: Copy, found: Neighbours, pixels: Callable[[Ints], Points]) -> bool:
    near = found.positions[copy.first]
    others = near[(near >= 0) & (near != copy.second)][:USUAL]
    vectors = pixels(np.array([copy.first, copy.second, *others])).astype(np.float64)
    apart = np.linalg.norm(vectors[1:] - vectors[0], axis=1)
    return bool(apart[0] == 0 or (len(others) and apart[0] < ALIKE * np.median(apart[1:])))
