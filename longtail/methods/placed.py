"""What the methods share that are told now and then where all training samples lie, and select by that."""

from functools import cached_property
from typing import Self

import numpy as np
import torch
from torch import Tensor

from longtail.data.members import members
from longtail.methods.base import Floats, Ints, Method, Setup
from longtail.network.network import Network

FEWEST = 4  # times that the samples are placed in a training


class PlacedMethod(Method):
    """A method that is given the embeddings of all samples before step 0, and again after every `refresh` steps.

    What a step selects is a function of its number and of them. A checkpoint holds them, n·d float32 numbers a task;
    until they are given all samples are at one point.
    """

    refresh: int

    def __init__(self, setup: Setup, refresh: int) -> None:
        super().__init__(setup)
        self.refresh = self._longest = refresh
        self._ask({task: Pool(codes, setup.negatives.get(task)) for task, codes in self._drawn.items()})

    def _ask(self, pools: "dict[str, Pool]") -> None:
        """Select among other samples, of which nothing is known yet."""
        self.pools = pools
        self._points = {task: np.zeros((len(pool.positions), 1), np.float32) for task, pool in pools.items()}
        self.__dict__.pop("placed", None)

    def plan(self, iterations: int) -> None:
        """A short training has them placed more often than `refresh` says."""
        super().plan(iterations)
        self.refresh = min(self._longest, max(1, iterations // FEWEST))

    def measuring(self, labels: dict[str, Ints]) -> Self:
        """As of every method; those samples are never placed, so that it is the same measure throughout."""
        other = super().measuring(labels)
        other._ask({task: Pool(codes, None) for task, codes in labels.items()})
        return other

    @cached_property
    def placed(self) -> Ints:
        """(p,) the positions in the split of all samples whose embeddings are asked for, rising."""
        return np.unique(np.concatenate([pool.positions for pool in self.pools.values()]))

    def place(self, embeddings: dict[str, Floats], network: Network, *, step: int) -> None:
        """Take the embeddings (p, d) of `placed`, by task, as `network` makes them before step number `step`."""
        self._points = {
            task: np.ascontiguousarray(embeddings[task][np.searchsorted(self.placed, pool.positions)])
            for task, pool in self.pools.items()
        }

    def points(self, task: str) -> Floats:
        """(m, d) the embeddings of a task's pool."""
        return self._points[task]

    # Extra state is held by checkpoints as a buffer is, and stays in memory where steps are prepared, whichever device
    # trains; nor does its length have to be known beforehand.
    def get_extra_state(self) -> Tensor:
        """Those of all tasks."""
        return torch.from_numpy(np.concatenate(list(self._points.values())))

    def set_extra_state(self, state: Tensor) -> None:
        """Take what `get_extra_state` gave."""
        ends = np.cumsum([len(pool.positions) for pool in self.pools.values()])[:-1]
        self._points = dict(zip(self.pools, np.split(state.numpy(force=True), ends), strict=True))


class Pool:
    """The samples of a task that may be selected: `positions` (m,) in the split, rising, and their `codes` (m,), −1 of
    those `marked` to be of no class; the rows of each class's `members`.
    """

    def __init__(self, codes: Ints, negatives: Ints | None) -> None:
        marked = (codes < 0) & (negatives >= 0) if negatives is not None else np.zeros(len(codes), bool)
        self.positions = np.flatnonzero((codes >= 0) | marked)
        self.codes = codes[self.positions]
        self.marked, self.labelled = np.flatnonzero(self.codes < 0), np.flatnonzero(self.codes >= 0)
        self.members = members(self.codes)

    def rows(self, positions: Ints) -> Ints:
        """The rows of samples at these positions, which are all in the pool."""
        return np.searchsorted(self.positions, positions)
