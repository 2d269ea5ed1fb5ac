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
        labelled = np.flatnonzero(labels >= 0)
        self._pools = _by_class(labelled, labels[labelled]) if class_even else [labelled]
        # A pass over one class outlasts many steps, so most draws find its order here.
        self._order = lru_cache(maxsize=4 * len(self._pools) + 4)(self._draw_order)
        self._round = lru_cache(maxsize=4)(self._draw_round)

    def positions(self, step: int) -> Ints:
        """The positions (batch,) of mini-batch number `step`, from 0."""
        count = len(self._pools)
        turns, places = np.divmod(np.arange(step * self.batch, (step + 1) * self.batch), count)
        rounds = np.concatenate([self._round(turn) for turn in range(turns[0], turns[-1] + 1)])
        pools = rounds[places[0] :][: self.batch].tolist()
        return np.array([self._member(*draw) for draw in zip(pools, turns.tolist(), strict=True)], np.int64)

    def _member(self, pool: int, turn: int) -> np.int64:
        passed, place = divmod(turn, len(self._pools[pool]))
        member: np.int64 = self._order(pool, passed)[place]
        return member

    def _draw_round(self, turn: int) -> Ints:
        """The order in which a round takes the pools."""
        count = len(self._pools)
        return self._draw_permutation(0, turn, count) if count > 1 else np.zeros(1, np.int64)

    def _draw_order(self, pool: int, passed: int) -> Ints:
        """The members of a pool, in the order of one pass over them."""
        members = self._pools[pool]
        return members[self._draw_permutation(pool + 1, passed, len(members))]

    def _draw_permutation(self, stream: int, number: int, length: int) -> Ints:
        return np.random.default_rng([self.seed, stream, number]).permutation(length)


def _by_class(positions: Ints, codes: Ints) -> list[Ints]:
    _, counts = np.unique(codes, return_counts=True)
    return np.split(positions[np.argsort(codes, kind="stable")], np.cumsum(counts)[:-1])


def inverse_frequency_weights(labels: Ints) -> npt.NDArray[np.float32]:
    """Costs (n,) that sum to 1 and give every class present the same weight in the batch (LMLE, Table 1)."""
    _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return (1.0 / (len(counts) * counts[inverse])).astype(np.float32)


def mean_weights(labels: Ints, *, cost: bool) -> npt.NDArray[np.float32]:
    """Weights (n,) that sum to 1: of a mean over the mini-batch or, with `cost`, over its classes."""
    return inverse_frequency_weights(labels) if cost else np.full(len(labels), 1 / len(labels), np.float32)
