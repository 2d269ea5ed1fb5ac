"""Trainings that end in the middle, for the tests of what goes on from a checkpoint."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from longtail.training import loop


@contextmanager
def interrupted(after: int = 0) -> Iterator[None]:
    """The training inside must end in an error, as soon as it has written a checkpoint of so many steps or more."""
    whole = loop.save_checkpoint

    def failing(*args: Any) -> None:
        whole(*args)
        if args[4] >= after:
            raise MemoryError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", failing)
        with pytest.raises(MemoryError):
            yield
