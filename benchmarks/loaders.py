"""Loaders of class-even mini-batches against each other, each in a process of its own: ours and PyTorch's."""

import multiprocessing
import os
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, WeightedRandomSampler

from longtail.data.dataset import PackedDataset
from longtail.data.transforms import Augmentation
from longtail.methods.base import Sampling, Setup
from longtail.methods.softmax import Softmax
from longtail.training.inputs import Images
from longtail.training.loading import mini_batches

BATCH = 128
BATCHES = 10
SPAWN = multiprocessing.get_context("spawn")
Epoch = Callable[[], Iterator[Tensor]]
"""Gives the next `BATCHES` batches."""
EPOCH: Epoch  # in the process of a side


@dataclass
class Loading:
    """Seconds until the first batch, MiB in the midst of an epoch, and seconds an image of several epochs: of the
    clock, and of all cores together.
    """

    latency: float
    memory: float
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


def measure(sides: Mapping[str, Callable[[], Epoch]], *, pairs: int) -> dict[str, Loading]:
    """Open each side in a process of its own, and time its epochs, the sides taking turns."""
    with ExitStack() as stack:
        started = {name: stack.enter_context(ProcessPoolExecutor(1, SPAWN)) for name in sides}
        found = {name: started[name].submit(_open, side).result() for name, side in sides.items()}
        for turn in range(pairs):
            for name in list(sides)[:: -1 if turn % 2 else 1]:
                seconds, cpu = started[name].submit(_seconds_an_image).result()
                found[name].seconds.append(seconds)
                found[name].cpu.append(cpu)
    return found


def packed(folder: Path, augmentation: Augmentation) -> Epoch:
    """The loader of the training on a packed dataset."""
    dataset = PackedDataset.open(folder)
    labels = {task.name: dataset.labels(task.name) for task in dataset.info.tasks}
    method = Softmax(Setup(labels, Sampling(batch=BATCH), 0))
    inputs, epochs = Images(dataset, np.arange(len(dataset)), augmentation), count()

    def epoch() -> Iterator[Tensor]:
        first = next(epochs) * BATCHES
        steps, device = range(first, first + BATCHES), torch.device("cpu")
        for images, _ in mini_batches(inputs, method, seed=0, steps=steps, device=device):
            yield images

    return epoch


def data_loader(dataset: Dataset[Any], targets: list[int], workers: int) -> Epoch:
    """PyTorch's DataLoader over pairs of an image and its class, whose code is among the `targets`."""
    codes = torch.tensor(targets)
    even = WeightedRandomSampler((1 / torch.bincount(codes).double())[codes].tolist(), BATCHES * BATCH)
    # Linux forks workers, except in a process that was itself spawned, as this one was.
    how = {"multiprocessing_context": "fork", "persistent_workers": True} if workers else {}
    loader = DataLoader(dataset, BATCH, sampler=even, num_workers=workers, **how)  # type: ignore[arg-type]
    return lambda: (images for images, _ in loader)


def _open(side: Callable[[], Epoch]) -> Loading:
    global EPOCH  # noqa: PLW0603 (the process is this side's alone)
    # As many as a worker has. Threads of a small operation wait for each other, long where cores are shared.
    torch.set_num_threads(1)
    torch.rand(10).sum()
    before = _memory()
    began = time.perf_counter()
    EPOCH = side()
    epoch = EPOCH()
    next(epoch)
    latency = time.perf_counter() - began
    for _ in range(BATCHES // 2):
        next(epoch)
    memory = _memory() - before
    for _ in epoch:
        pass
    return Loading(latency, memory)


def _seconds_an_image() -> tuple[float, float]:
    began, cpu = time.perf_counter(), cpu_seconds()
    images = sum(len(batch) for batch in EPOCH())
    return (time.perf_counter() - began) / images, (cpu_seconds() - cpu) / images


def cpu_seconds() -> float:
    """What this process and its workers, those that have ended among them, have used of all cores."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(map(_used, _processes())) + ended.ru_utime + ended.ru_stime


def _used(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _processes() -> list[int]:
    return [os.getpid(), *(child.pid for child in multiprocessing.active_children() if child.pid)]


def _memory() -> float:
    """MiB of this process and its workers; what they share is shared out."""
    return sum(_pss(Path(f"/proc/{process}/smaps_rollup")) for process in _processes())


def _pss(file: Path) -> float:
    return next(
        int(line.split()[1]) / 1024 for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("Pss:")
    )
