"""Which of a training's processes this is, by what torchrun sets."""

import numpy as np
import pytest

from longtail import world
from longtail.errors import DataError
from longtail.world import ALONE, World, first_speaks

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK")


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def started(monkeypatch: pytest.MonkeyPatch, *values: str) -> World:
    for name, value in zip(VARIABLES, values, strict=False):
        monkeypatch.setenv(name, value)
    return World.from_environment()


def test_what_torchrun_sets_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert started(monkeypatch, "5", "8", "1") == World(rank=5, size=8, local_rank=1)


@pytest.mark.parametrize("values", [(), ("0", "1", "0"), ("3",), ("3", "1"), ("", "")])
def test_without_several_processes_this_one_is_alone(monkeypatch: pytest.MonkeyPatch, values: tuple[str, ...]) -> None:
    assert started(monkeypatch, *values) == ALONE
    assert ALONE.first


@pytest.mark.parametrize("values", [("2", "2", "0"), ("", "2", "0"), ("0", "2"), ("0", "two", "0"), ("0", "0", "0")])
def test_what_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch, values: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match="start the step with torchrun"):
        started(monkeypatch, *values)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_the_shares_are_contiguous_and_make_up_the_whole(size: int) -> None:
    things = np.arange(4 * size)
    shares = [things[World(rank, size).share(len(things))] for rank in range(size)]
    assert [len(share) for share in shares] == [4] * size
    assert np.array_equal(np.concatenate(shares), things)


@pytest.mark.parametrize("rank", [0, 1])
def test_the_first_process_says_its_error_at_once_and_another_one_later(
    monkeypatch: pytest.MonkeyPatch, rank: int
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(world.time, "sleep", waited.append)
    with pytest.raises(DataError, match="bad input"), first_speaks(World(rank, 2)):
        raise DataError("bad input")
    assert waited == [world.GRACE] * rank
