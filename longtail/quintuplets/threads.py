"""A map over threads each of which multiplies by itself."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController

Map = Callable[..., Iterator[Any]]


@contextmanager
def threaded(count: int, blocks: int) -> Iterator[Map]:
    """A map over threads, each of which multiplies by itself: their number does not change a product's last bits."""
    with _blas().limit(limits=1, user_api="blas"):
        if min(count, blocks) <= 1:  # one of many small pools: threads would only wait for each other
            yield map
        else:
            with ThreadPoolExecutor(count) as threads:
                yield threads.map


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()
