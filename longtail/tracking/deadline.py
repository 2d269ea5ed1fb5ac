"""A deadline for a whole call: the timeouts of an HTTP client begin anew with every byte that a server lets drip."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Punctual:
    """An object whose every method ends within `seconds`, or raises TimeoutError; None: whenever it likes."""

    def __init__(self, wrapped: Any, seconds: float | None = None) -> None:
        self._wrapped = wrapped
        self.seconds = seconds

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._wrapped, name)

        def punctual(*arguments: Any, **options: Any) -> Any:
            with deadline(self.seconds):
                return method(*arguments, **options)

        return punctual


@contextmanager
def deadline(seconds: float | None) -> Iterator[None]:
    """Raise TimeoutError in the block after so many seconds, and each second until it ends, should it be caught there.

    It is a signal that does so, and signals are the main thread's: in any other thread nothing happens.
    """
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    armed = True

    def stop(*_: object) -> None:
        if armed:
            raise TimeoutError(f"timed out after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        try:
            yield
        finally:
            armed = False  # else a late alarm might keep the next lines from running
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
