"""A map over processes that end with the one which started them, however that ends."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, get_context, parent_process
from threading import Thread
from typing import TypeVar

from longtail.errors import DataError

Item = TypeVar("Item")
Result = TypeVar("Result")


def mapped(function: Callable[[Item], Result], items: Sequence[Item], processes: int) -> Iterator[Result]:
    """Yield `function(item)` in the order of the items; with one process in this one.

    Raises DataError if a process is killed, as the system does with what takes too much memory, or does not begin, as
    where it imports a script that starts processes whoever imports it.
    """
    processes = min(processes, len(items))
    if processes <= 1:
        yield from map(function, items)
        return
    with _pool(processes) as pool:
        try:
            yield from pool.map(function, items)
        except BrokenProcessPool as error:
            raise DataError(
                "a process was killed, probably for want of memory: run it again with fewer; or a script of yours "
                'started it without `if __name__ == "__main__":`, below which that call belongs'
            ) from error


@contextmanager
def _pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that are ended at once if the block fails; otherwise they would first finish what they are at."""
    others = set(active_children())
    # Not forked: this process has threads.
    pool = ProcessPoolExecutor(processes, get_context("spawn"), _follow)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in set(active_children()) - others:
            child.terminate()
        raise
    pool.shutdown()


def _follow() -> None:
    """Leave Ctrl-C to the parent, and end when it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := parent_process():
        parent.join()
        os._exit(1)
