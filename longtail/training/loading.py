"""Mini-batches on the device that trains: one is drawn, read and brought there while the network works on the last.

Every draw is a function of the seed and the step, so it does not matter when, or in which thread, a step is prepared.
"""

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, nullcontext
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from longtail.data.transforms import draw
from longtail.methods.base import Method
from longtail.methods.batch import Batch, to_device
from longtail.termination import held
from longtail.training.inputs import Inputs
from longtail.world import ALONE, World

T = TypeVar("T")


def seeds(seed: int, step: int, rank: int = 0) -> tuple[int, int]:
    """The seeds of what is random in a step: that of its augmentation, and torch's own for the rest, which each process
    draws for itself.
    """
    first, *others = np.random.SeedSequence([seed, step]).generate_state(2 + rank)
    return int(first), int(others[rank])


def mini_batches(
    inputs: Inputs,
    method: Method,
    *,
    seed: int,
    steps: range,
    device: torch.device,
    world: World = ALONE,
    waiting: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Generator[tuple[Tensor, Batch]]:
    """For each step this process's part of the mini-batch, and what the network takes: augmented images, float
    (views·m)×C×H×W, or features (views·m)×F.

    `waiting` is entered while a step waits for them to be there; warping images is work of the device. Where the method
    is told anew where samples lie (`refresh`), that has to be before the step is asked for. Close the generator: a
    thread works for it.
    """

    def load(step: int) -> tuple[Tensor, Tensor, Batch]:
        batch = method.batch(step, world)
        # An image is warped alike in whichever process it is. The thread has a generator of its own.
        of_all = draw(method.views * batch.whole, torch.Generator().manual_seed(seeds(seed, step)[0]))
        places = np.add.outer(np.arange(method.views) * batch.whole, batch.places).ravel()
        drawn = of_all[:, torch.from_numpy(places)]
        loaded = inputs.load(batch.samples, method.views, drawn, plain=plain(batch))
        return to_device(loaded, device), to_device(drawn, device), batch.to(device)

    def plain(batch: Batch) -> int:
        return len(batch.samples) if method.plain_first else 0

    for stretch in stretches(steps, method.refresh):
        with closing(one_ahead(load, stretch, device, waiting)) as loaded:
            for taken, drawn, batch in loaded:
                yield inputs.finish(taken, drawn, plain=plain(batch)), batch


def stretches(steps: range, every: int | None) -> Iterator[range]:
    """The steps, parted before each multiple of `every`: nothing is prepared ahead across it."""
    start = steps.start
    while start < steps.stop:
        stop = steps.stop if every is None else min(steps.stop, start - start % every + every)
        yield range(start, stop)
        start = stop


def one_ahead(
    load: Callable[[int], T],
    steps: range,
    device: torch.device,
    waiting: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Generator[T]:
    """What `load` gives for each step; a thread prepares the next one meanwhile. Its error is raised at its step."""
    # Which GPU is current is a matter of each thread.
    take_gpu = (lambda: torch.cuda.set_device(device)) if device.type == "cuda" else None
    with ThreadPoolExecutor(1, "loader", take_gpu) as thread:
        submitted = (thread.submit(load, step) for step in steps)
        with held():
            coming = next(submitted, None)
        while coming is not None:
            with waiting():
                ready = coming.result()
            with held():
                coming = next(submitted, None)
            yield ready
