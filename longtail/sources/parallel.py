"""An ordered, bounded map over threads, with a progress bar."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_map(
    function: Callable[[Item], Result], items: Sequence[Item], *, workers: int, title: str
) -> Iterator[Result]:
    """Yield `function(item)` in the order of `items`, whatever `workers` is; few results wait at any time.

    Threads, because decoding and resizing release the interpreter's lock.
    """
    waiting: deque[Future[Result]] = deque()
    with _progress() as progress, ThreadPoolExecutor(workers) as pool:
        bar = progress.add_task(title, total=len(items))
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
                    progress.advance(bar)
            while waiting:
                yield waiting.popleft().result()
                progress.advance(bar)
        finally:
            for future in waiting:
                future.cancel()


def spans(count: int, size: int) -> list[slice]:
    """Cut `count` rows into consecutive slices of at most `size`."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))
