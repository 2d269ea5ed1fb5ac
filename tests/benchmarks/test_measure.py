"""How sides of a comparison take turns, what a ratio is, and what a peak of memory is."""

import mmap

import pytest

from benchmarks.measure import Spread, alternate, peak_memory, ratio


def test_sides_take_turns_and_every_second_turn_is_backwards() -> None:
    calls: list[str] = []
    times = alternate({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, pairs=3, repeat=2)
    assert "".join(calls) == "ab" + "aabb" + "bbaa" + "aabb"  # the first round warms up
    assert [len(of_side) for of_side in times.values()] == [3, 3]


def test_a_ratio_is_of_pairs() -> None:
    """A slow moment of the machine hits both sides of a pair: here the third pair was twice as slow."""
    assert ratio([2, 3, 4.4], [1, 1, 2]) == Spread(2.2, 2, 3)
    assert ratio([2, 3, 4.4], [1, 1, 2]).text() == "2.20 (2.00 to 3.00)"


@pytest.mark.parametrize("mib", [40, 160])
def test_peak_memory_is_what_was_needed_for_a_moment(mib: int) -> None:
    def work() -> None:
        # Pages of its own: what malloc gives may have been used, and be resident, before.
        with mmap.mmap(-1, mib * 2**20) as pages:
            for page in range(0, len(pages), mmap.PAGESIZE):
                pages[page] = 1

    assert peak_memory(work) == pytest.approx(mib, abs=10)
    assert peak_memory(lambda: None) < 10
