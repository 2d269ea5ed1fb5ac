"""Told to end (SIGTERM, or SIGHUP of a closed terminal), a process leaves nothing half-made: the signal raises."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class Terminated(BaseException):
    """A signal has told the process to end; `status` is its exit status, as shells count: 128 + the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__(f"told to end by {signal.Signals(number).name}")
        self.status = 128 + number


@contextmanager
def raised() -> Iterator[None]:
    """Raise Terminated in the block, once, when the process is told to end. A signal that is ignored (nohup) or already
    answered stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    owner = os.getpid()

    def stop(number: int, _: object) -> None:
        if os.getpid() != owner:  # a fork, whose parent ends it in this way
            os._exit(128 + number)
        for one in ours:
            signal.signal(one, signal.SIG_IGN)  # tidying up has begun
        if _holding.depth:
            _holding.come = number
        else:
            raise Terminated(number)

    ours = [one for one in SIGNALS if signal.getsignal(one) is signal.SIG_DFL]
    for one in ours:
        signal.signal(one, stop)
    try:
        yield
    finally:
        for one in ours:
            signal.signal(one, signal.SIG_DFL)


class _Holding:
    depth = 0
    come: int | None = None


_holding = _Holding()


@contextmanager
def held() -> Iterator[None]:
    """Let a signal wait until the block is left: raised inside of a lock, it would leave that locked for ever."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _holding.depth += 1
    try:
        yield
    finally:
        _holding.depth -= 1
        if not _holding.depth and _holding.come is not None:
            number, _holding.come = _holding.come, None
            raise Terminated(number)
