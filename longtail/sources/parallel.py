"""An ordered, bounded map over threads, with a progress bar."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from longtail.progress import Advance

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_map(
    function: Callable[[Item], Result], items: Sequence[Item], *, workers: int, title: str
) -> Iterator[Result]:
    """Yield `function(item)` in the order of `items`, whatever `workers` is; few results wait at any time.

    Threads, because decoding and resizing release the interpreter's lock.
    """
    waiting: deque[Future[Result]] = deque()
    with Advance(title, len(items)) as advance, ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
                    advance.add()
            while waiting:
                yield waiting.popleft().result()
                advance.add()
        finally:
            for future in waiting:
                future.cancel()


def spans(count: int, size: int) -> list[slice]:
    """Cut `count` rows into consecutive slices of at most `size`."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]
