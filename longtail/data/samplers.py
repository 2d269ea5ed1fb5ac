"""Which samples a mini-batch has: seeded, and a function of the step alone, so that a resumed run draws the same."""

from functools import lru_cache
from itertools import takewhile
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from longtail.data.members import members

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Scheme = Literal["natural", "class_even", "square_root", "progressive", "over", "under"]
IN_ROUNDS = ("natural", "class_even", "over", "under")  # the schemes of which a round takes every pool once
SPREAD = 65  # places of a block at which it is worked out how many draws a class should have had
# How mini-batches are drawn: a scheme by its name, or how far it is from natural (0) to class-even (1).
Drawing = Scheme | Annotated[float, Field(ge=0, le=1)]


class Sampler:
    """Draws positions without replacement, pass after pass.

    natural: every sample is drawn equally often. class_even: every class is (LMLE, section 3.1, "re-sampling"): draw
    number s takes the next class of a random round over all classes, and that class's next sample of a random pass over
    its samples. over: the data are over-sampled first, every class to the size of the largest. under: they are
    under-sampled, every class to the size of the smallest.
    """

    def __init__(self, labels: Ints, batch: int, *, scheme: Drawing, seed: int) -> None:
        """`labels` (n,): class codes; −1 is never drawn. `batch`: positions a step."""
        self.batch = batch
        self.seed = seed
        labelled = np.flatnonzero(labels >= 0)
        classes = list(members(labels).values())
        match scheme:
            case "natural":
                self._pools = [labelled]
            case "over":
                self._pools = [resized(classes, max(map(len, classes)), seed)]
            case "under":
                self._pools = [resized(classes, min(map(len, classes)), seed)]
            case _:
                self._pools = classes
        # A pass over one class outlasts many steps, so most draws find its order here.
        self._order = lru_cache(maxsize=2 * len(self._pools) + 2)(self._draw_order)
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


class DistinctSampler(Sampler):
    """Draws as `Sampler`, and no member twice in a mini-batch, if the pools have enough for it.

    A mini-batch that has the end of a pass over a pool has the beginning of the next pass too, which is drawn from the
    members that it has not; the others come later in that pass.
    """

    def __init__(self, labels: Ints, batch: int, *, scheme: Drawing, seed: int) -> None:
        super().__init__(labels, batch, scheme=scheme, seed=seed)
        self._latest: dict[int, tuple[int, Ints]] = {}  # of each pool a pass, and its order, which the next hangs on

    def _draw_order(self, pool: int, passed: int) -> Ints:
        latest, order = self._latest.get(pool, (-1, None))
        if latest >= passed:
            latest, order = -1, None
        for number in range(latest + 1, passed + 1):
            order = self._after(order, pool, number)
        assert order is not None
        self._latest[pool] = passed, order
        return order

    def _after(self, before: Ints | None, pool: int, passed: int) -> Ints:
        """The order of a pass after one of the order `before`."""
        members = super()._draw_order(pool, passed)
        if before is None:
            return members
        begin = passed * len(members)
        step = self._step(pool, begin)

        def together(turn: int) -> bool:
            return self._step(pool, turn) == step

        # A pass over a large pool outlasts many mini-batches, so only the turns around its end are looked at.
        ended = sum(1 for _ in takewhile(together, range(begin - 1, begin - len(members) - 1, -1)))
        begun = sum(1 for _ in takewhile(together, range(begin, begin + len(members))))
        there = before[len(before) - ended :]
        first = members[~np.isin(members, there)][:begun]
        return np.concatenate([first, members[~np.isin(members, first)]])

    def _step(self, pool: int, turn: int) -> int:
        """The mini-batch that a pool's draw number `turn` is in."""
        place = int(np.flatnonzero(self._round(turn) == pool)[0])
        return (turn * len(self._pools) + place) // self.batch


class BetweenSampler(Sampler):
    """Draws between natural and class-even: a class of n samples in proportion to n^(1 − s), and of each class its
    samples pass after pass.

    square_root is s = ½. progressive goes from natural to class-even in a straight line over `draws` draws (Kang et
    al., ICLR 2020, Eq. 3); None: it stays at its beginning. The draws come in blocks of two passes over the data. At
    the end of each every class has had as many as it should, to within one, and inside it they are spread likewise.
    """

    def __init__(self, labels: Ints, batch: int, *, scheme: Drawing, seed: int, draws: int | None = None) -> None:
        super().__init__(labels, batch, scheme=scheme, seed=seed)
        self.draws = draws if scheme == "progressive" else None
        counts = np.array([len(pool) for pool in self._pools], np.int64)
        self._shares = class_shares(counts, strengths(scheme)[0])
        # Of two passes the rarest class has two draws at least, so that rounding never takes one back.
        self._block = 2 * int(counts.sum())
        self._drawn_block = lru_cache(maxsize=2)(self._draw_block)

    def positions(self, step: int) -> Ints:
        """The positions (batch,) of mini-batch number `step`, from 0."""
        blocks, places = np.divmod(np.arange(step * self.batch, (step + 1) * self.batch), self._block)
        found = [self._drawn_block(block)[:, places[blocks == block]] for block in range(blocks[0], blocks[-1] + 1)]
        pools, turns = np.concatenate(found, axis=1).tolist()
        return np.array([self._member(*draw) for draw in zip(pools, turns, strict=True)], np.int64)

    def expected(self, draws: float) -> Floats:
        """How many of the first `draws` draws each class has, on average, (K,)."""
        if self.draws is None:
            return draws * self._shares
        # The share of class-even draws rises from 0 to 1 over the training, and then stays.
        even = draws**2 / (2 * self.draws) if draws < self.draws else draws - self.draws / 2
        return (draws - even) * self._shares + even / len(self._shares)

    def _had(self, draws: int) -> Ints:
        """`expected` in whole numbers that add up to `draws`."""
        sums = np.floor(np.cumsum(self.expected(draws)) + 0.5).astype(np.int64)
        sums[-1] = draws
        return np.diff(sums, prepend=0)

    def _draw_block(self, block: int) -> Ints:
        """Of each draw of a block its class, and the how-many-eth draw of that class it is, (2, draws)."""
        before = self._had(block * self._block)
        counts = self._had((block + 1) * self._block) - before
        pools = np.repeat(np.arange(len(counts)), counts)
        turns = np.arange(self._block) - np.repeat(np.cumsum(counts) - counts, counts) + before[pools]
        # A class's draw comes at a random place between where it is due and where the next one is.
        due = turns + np.random.default_rng([self.seed, 0, block]).random(self._block)
        places = np.linspace(block * self._block, (block + 1) * self._block, SPREAD)
        expected = np.stack([self.expected(place) for place in places])
        of_pools = np.split(due, np.cumsum(counts)[:-1])
        when = [np.interp(of_pool, expected[:, pool], places) for pool, of_pool in enumerate(of_pools)]
        return np.stack([pools, turns])[:, np.argsort(np.concatenate(when), kind="stable")]


def class_shares(counts: Ints, strength: float) -> Floats:
    """The shares (K,) of draws in proportion to n^(1 − strength), n (K,) the counts; a class without a sample has 0."""
    shares: Floats = np.where(counts > 0, np.maximum(counts, 1).astype(np.float64) ** (1 - strength), 0.0)
    shares /= shares.sum()
    return shares


def strengths(scheme: Drawing) -> tuple[float, float]:
    """How far a scheme is from natural (0) to class-even (1), at the beginning and at the end of a training."""
    match scheme:
        case "natural":
            return 0.0, 0.0
        case "square_root":
            return 0.5, 0.5
        case "progressive":
            return 0.0, 1.0
        case "class_even" | "over" | "under":
            return 1.0, 1.0
    return scheme, scheme


def sampler_of(
    labels: Ints, batch: int, *, scheme: Drawing, seed: int, draws: int | None = None, distinct: bool = False
) -> Sampler:
    """The sampler that draws by a scheme; `draws`: those of the whole training. `distinct`: as `DistinctSampler` does,
    where a scheme takes every pool once a round and no sample is in one twice.
    """
    if distinct and scheme in IN_ROUNDS and scheme != "over":
        return DistinctSampler(labels, batch, scheme=scheme, seed=seed)
    if scheme in IN_ROUNDS:
        return Sampler(labels, batch, scheme=scheme, seed=seed)
    return BetweenSampler(labels, batch, scheme=scheme, seed=seed, draws=draws)


def at_most(labels: Ints, count: int, seed: int) -> Ints:
    """The labels (n,) of a subset that is more balanced: of each class a random `count`, or all; the others −1."""
    rng = np.random.default_rng([seed, count])
    kept = np.concatenate([rng.permutation(pool)[:count] for pool in members(labels).values()])
    subset = np.full(len(labels), -1, np.int64)
    subset[kept] = labels[kept]
    return subset


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
        self,
        labels: dict[str, Ints],
        batch: int,
        *,
        scheme: Drawing,
        seed: int,
        together: bool = False,
        steps: int | None = None,
        deferred: int = 0,
        distinct: bool = False,
    ) -> None:
        """`labels`: for each task its (n,) class codes, −1 where there is none. `batch`: positions a step and task.
        `steps`: those of the whole training; the first `deferred` of them draw naturally, whatever the scheme.
        `distinct`: no sample twice in a mini-batch, as far as `sampler_of` can.
        """
        self.labels, self.batch = labels, batch
        self.together = together
        self._deferred = (
            TaskSampler(labels, batch, scheme="natural", seed=seed, together=together, distinct=distinct)
            if deferred
            else None
        )
        self._begin = deferred
        drawn_from = list(labels.values())
        if together and scheme == "natural":
            drawn_from = [np.max(drawn_from, axis=0)]  # −1 where no task has a label
        # A step of tasks that take turns is a draw of one of them.
        draws = None if steps is None else -(-(steps - deferred) * batch // (len(drawn_from) if together else 1))
        self._samplers = [
            sampler_of(codes, batch, scheme=scheme, seed=seed + number, draws=draws, distinct=distinct)
            for number, codes in enumerate(drawn_from)
        ]

    @property
    def turns(self) -> int:
        """After how many steps every task has had its turn."""
        return len(self._samplers) if self.together else 1

    def positions(self, step: int) -> dict[str, Ints]:
        """The positions of mini-batch number `step`, from 0, for each task."""
        if self.together:
            of_all = self.images(step)
            return {name: of_all[codes[of_all] >= 0] for name, codes in self.labels.items()}
        if self._deferred and step < self._begin:
            return self._deferred.positions(step)
        drawn = [sampler.positions(step - self._begin) for sampler in self._samplers]
        return dict(zip(self.labels, drawn, strict=True))

    def images(self, step: int) -> Ints:
        """The positions (batch,) of mini-batch number `step` that the tasks share, whether they label them or not."""
        if self._deferred and step < self._begin:
            return self._deferred.images(step)
        turn, task = divmod(step - self._begin, len(self._samplers))
        return self._samplers[task].positions(turn)

    def labelled(self, steps: int) -> dict[str, float]:
        """For each task how many labelled samples a mini-batch has on average, of those of the first `steps` that have
        any; 1 if none has.
        """
        had = np.array([[len(of_task) for of_task in self.positions(step).values()] for step in range(steps)])
        means = np.maximum(had.sum(0), 1) / np.maximum((had > 0).sum(0), 1)
        return dict(zip(self.labels, means.tolist(), strict=True))


def mean_weights(labels: Ints, *, cost: float) -> npt.NDArray[np.float32]:
    """Weights (n,) that sum to 1, in proportion to n_c^(−cost), n_c the samples of the class in the mini-batch.

    0 is the mean over the samples; 1, inverse frequency, gives the classes present equal weight (LMLE, Table 1).
    """
    if not len(labels):
        return np.zeros(0, np.float32)
    _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    scale = (counts ** (1.0 - cost)).sum()
    weights: npt.NDArray[np.float32] = (1.0 / (scale * counts[inverse] ** float(cost))).astype(np.float32)
    return weights
