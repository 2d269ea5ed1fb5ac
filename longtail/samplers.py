"""Mini-batches, class-even or not: seeded, and a function of the step alone, so that a resumed run draws the same."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


class Sampler:
    """Draws positions without replacement, pass after pass.

    With `class_even` every class is drawn equally often (LMLE, section 3.1, "re-sampling"): draw number s takes the
    next class of a random round over all classes, and that class's next sample of a random pass over its samples.
    """

    def __init__(self, labels: Ints, batch: int, *, class_even: bool, seed: int) -> None:
        """`labels` (n,): class codes; −1 is never drawn. `batch`: positions a step."""
        self.batch = batch
        self.seed = seed
        codes = np.unique(labels[labels >= 0])
        self._pools = [np.flatnonzero(labels == c) for c in codes] if class_even else [np.flatnonzero(labels >= 0)]
        self._permutation = lru_cache(maxsize=4 * len(self._pools) + 4)(self._draw_permutation)

    def positions(self, step: int) -> Ints:
        """The positions (batch,) of mini-batch number `step`, from 0."""
        return np.array([self._draw(step * self.batch + slot) for slot in range(self.batch)], np.int64)

    def _draw(self, number: int) -> int:
        turn, place = divmod(number, len(self._pools))
        pool = int(self._permutation(0, turn, len(self._pools))[place])
        members = self._pools[pool]
        passed, place = divmod(turn, len(members))
        return int(members[self._permutation(pool + 1, passed, len(members))[place]])

    def _draw_permutation(self, stream: int, number: int, length: int) -> Ints:
        return np.random.default_rng([self.seed, stream, number]).permutation(length)


def inverse_frequency_weights(labels: Ints) -> npt.NDArray[np.float32]:
    """Costs (n,) that sum to 1 and give every class present the same weight in the batch (LMLE, Table 1)."""
    _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return (1.0 / (len(counts) * counts[inverse])).astype(np.float32)
