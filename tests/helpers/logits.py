"""Logits of made-up samples, in blocks, for the tests of what is made of probabilities."""

from collections.abc import Iterator

import numpy as np

from longtail.metrics.probabilities import Blocks, Logits, probabilities
from longtail.metrics.scores import Codes, Mask, Shots, class_sets


def blocks(logits: Logits, truth: Codes, size: int = 7) -> Blocks:
    def found() -> Iterator[tuple[Logits, Codes]]:
        for start in range(0, len(truth), size):
            yield logits[start : start + size], truth[start : start + size]

    return found


def groups(K: int) -> dict[str, Mask]:
    """Of classes with 150, 50, 5, 150, 50 … training images."""
    return class_sets([(150, 50, 5)[c % 3] for c in range(K)], np.ones(K, np.bool_), Shots())


def drawn(seed: int, n: int, K: int, scale: float = 2.0) -> tuple[Logits, Codes]:
    """Logits whose softmax is the truth: each class is drawn with just that probability."""
    rng = np.random.default_rng(seed)
    logits = (rng.normal(0, scale, (n, K)) - 0.8 * np.arange(K)).astype(np.float32)
    draws = rng.random((n, 1)) < probabilities(logits).cumsum(1)
    return logits, draws.argmax(1)
