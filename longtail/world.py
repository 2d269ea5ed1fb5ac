"""The processes of one training, as `torchrun` names them in the environment. The command line asks too: no torch."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

from longtail.errors import DataError
from longtail.termination import Terminated

GRACE = 5.0  # seconds; torchrun ends the other processes well within it


@dataclass(frozen=True)
class World:
    """This process among the `size` of a training; `local_rank` counts those of its machine, one a GPU."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @classmethod
    def from_environment(cls) -> Self:
        """Read WORLD_SIZE, RANK and LOCAL_RANK; without the first, or if it is 1, a process is alone.

        Raises DataError if they are not numbers, or do not fit each other.
        """
        size = _number("WORLD_SIZE", "1")
        if size == 1:
            return cls()
        world = cls(_number("RANK"), size, _number("LOCAL_RANK"))
        if not 0 <= world.rank < size or world.local_rank < 0:
            raise DataError(f"there is no process {world.rank} of WORLD_SIZE={size}; start the step with torchrun")
        return world

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """This process's part of `count` things that all draw alike; the parts differ by one thing at most."""
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)


ALONE = World()


@contextmanager
def first_speaks(world: World) -> Iterator[None]:
    """Hold an error of another process than the first back for a while: most often the first one has it too, says it,
    and torchrun ends this one. A process that is still alive after that has an error of its own to report.
    """
    try:
        try:
            yield
        except Exception:
            if not world.first:
                time.sleep(GRACE)
            raise
    except Terminated as told:
        if not world.first:
            sys.exit(told.status)
        raise


def _number(name: str, default: str = "") -> int:
    value = os.environ.get(name) or default
    if not value.isdecimal() or (name == "WORLD_SIZE" and int(value) < 1):
        raise DataError(f"{name} is {value!r} and should be a number; start the step with torchrun, which sets it")
    return int(value)
