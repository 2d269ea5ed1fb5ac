"""Which samples a mini-batch has: seeded, and a function of the step alone, so that a resumed run draws the same."""

from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Scheme = Literal["natural", "class_even", "over", "under"]


class Sampler:
    """Draws positions without replacement, pass after pass.

    natural: every sample is drawn equally often. class_even: every class is (LMLE, section 3.1, "re-sampling"): draw
    number s takes the next class of a random round over all classes, and that class's next sample of a random pass over
    its samples. over: the data are over-sampled first, every class to the size of the largest. under: they are
    under-sampled, every class to the size of the smallest.
    """

    def __init__(self, labels: Ints, batch: int, *, scheme: Scheme, seed: int) -> None:
        """`labels` (n,): class codes; −1 is never drawn. `batch`: positions a step."""
        self.batch = batch
        self.seed = seed
        labelled = np.flatnonzero(labels >= 0)
        classes = _by_class(labelled, labels[labelled])
        match scheme:
            case "natural":
                self._pools = [labelled]
            case "class_even":
                self._pools = classes
            case "over":
                self._pools = [resized(classes, max(map(len, classes)), seed)]
            case "under":
                self._pools = [resized(classes, min(map(len, classes)), seed)]
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


def resized(classes: list[Ints], size: int, seed: int) -> Ints:
    """Sorted positions, `size` of each class: all of its members equally often, and a random few of them once more."""
    rng = np.random.default_rng([seed, len(classes), size])
    chosen = [np.concatenate([np.tile(c, size // len(c)), rng.permutation(c)[: size % len(c)]]) for c in classes]
    return np.sort(np.concatenate(chosen))


class TaskSampler:
    """What the samplers of several tasks draw, over the same samples.

    Each task draws for itself; or, `together`, the tasks take turns, and a step's samples are drawn for one task and
    serve all that label them. What is class-even for the one is then uneven for the others, whose class costs act
    (LMLE, section 5.2). Where it is natural nothing is drawn for a task, but from all that some task labels.
    """

    def __init__(
        self, labels: dict[str, Ints], batch: int, *, scheme: Scheme, seed: int, together: bool = False
    ) -> None:
        """`labels`: for each task its (n,) class codes, −1 where there is none. `batch`: positions a step and task."""
        self.labels, self.batch = labels, batch
        self.together = together
        drawn_from = list(labels.values())
        if together and scheme == "natural":
            drawn_from = [np.max(drawn_from, axis=0)]  # −1 where no task has a label
        self._samplers = [
            Sampler(codes, batch, scheme=scheme, seed=seed + number) for number, codes in enumerate(drawn_from)
        ]

    def positions(self, step: int) -> dict[str, Ints]:
        """The positions of mini-batch number `step`, from 0, for each task."""
        if not self.together:
            drawn = [sampler.positions(step) for sampler in self._samplers]
            return dict(zip(self.labels, drawn, strict=True))
        of_all = self.images(step)
        return {name: of_all[codes[of_all] >= 0] for name, codes in self.labels.items()}

    def images(self, step: int) -> Ints:
        """The positions (batch,) of mini-batch number `step` that the tasks share, whether they label them or not."""
        turn, task = divmod(step, len(self._samplers))
        return self._samplers[task].positions(turn)


def _by_class(positions: Ints, codes: Ints) -> list[Ints]:
    _, counts = np.unique(codes, return_counts=True)
    return np.split(positions[np.argsort(codes, kind="stable")], np.cumsum(counts)[:-1])


def inverse_frequency_weights(labels: Ints) -> npt.NDArray[np.float32]:
    """Costs (n,) that sum to 1 and give every class present the same weight in the batch (LMLE, Table 1)."""
    _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return (1.0 / (len(counts) * counts[inverse])).astype(np.float32)


def mean_weights(labels: Ints, *, cost: bool) -> npt.NDArray[np.float32]:
    """Weights (n,) that sum to 1: of a mean over the mini-batch or, with `cost`, over its classes."""
    return inverse_frequency_weights(labels) if cost else np.full(len(labels), 1 / max(1, len(labels)), np.float32)
