"""Embeddings of imbalanced classes for the tables of k-means and kNN: mixtures on the sphere, overlapping."""

import numpy as np
import numpy.typing as npt

DIMENSIONS = 64
CLUSTER_SIZE = 200
MODES = 8  # a class
NOISE = 2.0  # the length of a deviation from the mode, which has length 1: classes overlap

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


def class_sizes(count: int, classes: int, imbalance: float) -> Ints:
    """Sizes that fall geometrically from the first class to the last, `imbalance` times smaller, and sum to `count`."""
    shares = imbalance ** -np.linspace(0, 1, classes)
    sizes: Ints = np.floor(count * shares / shares.sum()).astype(np.int64)
    sizes[0] += count - sizes.sum()
    return sizes


def mixture(sizes: Ints, *, seed: int) -> tuple[Floats, Ints]:
    """Normalised embeddings (n, DIMENSIONS) in random order and their classes; the same modes for every seed."""
    modes = np.random.default_rng(0).normal(size=(len(sizes), MODES, DIMENSIONS))
    modes /= np.linalg.norm(modes, axis=2, keepdims=True)
    rng = np.random.default_rng([1, seed])
    labels = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    points = rng.normal(scale=NOISE / DIMENSIONS**0.5, size=(len(labels), DIMENSIONS)).astype(np.float32)
    points += modes[labels, rng.integers(0, MODES, len(labels))].astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return points, labels
