"""A call ends within its deadline, whatever it does meanwhile, and nothing of the deadline is left after it."""

import signal
import threading
import time
from contextlib import suppress

import pytest

from longtail.tracking.deadline import Punctual, deadline


class Slow:
    """Calls that take their time."""

    def work(self, seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    def stubborn(self, seconds: float) -> None:
        """Takes a timeout for one of its own, and waits again, as a client that tries again does."""
        with suppress(OSError):
            time.sleep(seconds)
        time.sleep(seconds)


def test_a_call_within_its_deadline_is_left_alone() -> None:
    assert Punctual(Slow(), 5.0).work(0.01) == 0.01


@pytest.mark.parametrize("call", ["work", "stubborn"])
def test_a_call_ends_with_its_deadline(call: str) -> None:
    started = time.monotonic()
    with pytest.raises(TimeoutError, match="timed out"):
        getattr(Punctual(Slow(), 0.1), call)(30.0)
    assert time.monotonic() - started < 5


def test_nothing_is_left_of_a_deadline() -> None:
    before = signal.getsignal(signal.SIGALRM)
    for seconds in (0.05, 5.0):
        with suppress(TimeoutError), deadline(seconds):
            time.sleep(0.1)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is before


def test_another_thread_has_no_deadline() -> None:
    done = []
    thread = threading.Thread(target=lambda: done.append(Punctual(Slow(), 0.01).work(0.1)))
    thread.start()
    thread.join()
    assert done == [0.1]
