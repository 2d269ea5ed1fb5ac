"""Images on their way to the network: the packed dataset against ImageFolder, Pillow and a DataLoader."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, WeightedRandomSampler
from torchvision import transforms
from torchvision.datasets import ImageFolder

from benchmarks.measure import Spread, ratio
from benchmarks.pictures import write_digits, write_photographs
from benchmarks.table import Table, main
from longtail.data.dataset import PackedDataset
from longtail.data.transforms import Augmentation
from longtail.methods.base import Sampling, Setup
from longtail.methods.softmax import Softmax
from longtail.sources.folder import Folder
from longtail.stages import ingest
from longtail.training.inputs import Images
from longtail.training.loading import mini_batches

Shape = tuple[int, int, int]
BATCH = 128
BATCHES = 10
AUGMENTATION = Augmentation(rotate=10, scale=0.1, shift=0.05, mirror=True)
OURS = "packed, batched"
WORKERS = (0, 1, 2)
SPAWN = multiprocessing.get_context("spawn")
EPOCH: Callable[[], Iterator[Tensor]]  # in the process of a side: its next batches


def run(full: bool) -> Table:
    """Digits and photographs; with --full more of the digits and longer timings."""
    table = Table(
        "Data path",
        f"Class-even batches of {BATCH} augmented float images: the memory-mapped dataset and the loader of the "
        "training against ImageFolder, Pillow and a DataLoader, each in a process of its own.",
        ["images", "side", "images/s", "ours to it", "first batch (ms)", "memory (MiB)"],
        settings={
            "augmentation": str(AUGMENTATION),
            "timed": f"{BATCHES} batches together",
            "torch threads": "1 in every process",
        },
        notes=[
            "First batch: from opening the data to the first batch in hand; the process has imported everything.",
            "Memory: what the process and its workers hold above its start, shared pages shared out (PSS); of the "
            "packed dataset that includes the pages of the file that were read.",
            "ImageFolder decodes every image each time, and brings photographs to the size of the network; ours did "
            "that once, in `ingest`.",
            "Ours reads in a thread and warps in another; with 1 worker, ImageFolder has a process that does both.",
        ],
    )
    with TemporaryDirectory() as name:
        folder = Path(name)
        digits, photographs = folder / "digits", folder / "photographs"
        _measure(table, write_digits(digits, 10 if full else 2), digits, (28, 28, 1), 9 if full else 4)
        _measure(table, write_photographs(photographs), photographs, (64, 64, 3), 9 if full else 4)
    return table


def _measure(table: Table, images: str, folder: Path, shape: Shape, pairs: int) -> None:
    packed = folder.with_name(f"{folder.name}-packed")
    ingest.run(folder, packed, params=ingest.Params(source=Folder(kind="folder"), image_shape=shape))
    size = "×".join(map(str, shape))
    sides: dict[str, tuple[Path, int | None]] = {OURS: (packed, None)}
    sides |= {f"ImageFolder, {workers} workers": (folder, workers) for workers in WORKERS}
    with ExitStack() as stack:
        started = {name: stack.enter_context(ProcessPoolExecutor(1, SPAWN)) for name in sides}
        first = {name: started[name].submit(_open, *side, shape).result() for name, side in sides.items()}
        times: dict[str, list[float]] = {name: [] for name in sides}
        for turn in range(pairs):
            for name in list(sides)[:: -1 if turn % 2 else 1]:
                times[name].append(started[name].submit(_seconds_an_image).result())
    for name, seconds in times.items():
        latency, memory = first[name]
        quicker = "1" if name == OURS else ratio(seconds, times[OURS]).text("{:.1f}")
        speed = Spread.of([1 / value for value in seconds])
        row = (speed.text("{:,.0f}"), quicker, f"{1000 * latency:.0f}", f"{memory:.0f}")
        table.add(f"{images}, to {size}", name, *row)


def _open(folder: Path, workers: int | None, shape: Shape) -> tuple[float, float]:
    """Open a side in this process: seconds until its first batch, and the MiB that it holds in its midst."""
    global EPOCH  # noqa: PLW0603 (the process is this side's alone)
    # As many as a worker has. Threads of a small operation wait for each other, long where cores are shared.
    torch.set_num_threads(1)
    torch.rand(10).sum()
    before = _memory()
    began = time.perf_counter()
    EPOCH = _ours(folder) if workers is None else _image_folder(folder, workers, shape)
    epoch = EPOCH()
    next(epoch)
    latency = time.perf_counter() - began
    for _ in range(BATCHES // 2):
        next(epoch)
    memory = _memory() - before
    for _ in epoch:
        pass
    return latency, memory


def _seconds_an_image() -> float:
    began = time.perf_counter()
    images = sum(len(batch) for batch in EPOCH())
    return (time.perf_counter() - began) / images


def _ours(folder: Path) -> Callable[[], Iterator[Tensor]]:
    dataset = PackedDataset.open(folder)
    labels = {task.name: dataset.labels(task.name) for task in dataset.info.tasks}
    method = Softmax(Setup(labels, Sampling(batch=BATCH), 0))
    inputs, epochs = Images(dataset, np.arange(len(dataset)), AUGMENTATION), count()

    def epoch() -> Iterator[Tensor]:
        first = next(epochs) * BATCHES
        steps, device = range(first, first + BATCHES), torch.device("cpu")
        for images, _ in mini_batches(inputs, method, seed=0, steps=steps, device=device):
            yield images

    return epoch


def _image_folder(folder: Path, workers: int, shape: Shape) -> Callable[[], Iterator[Tensor]]:
    height, width, channels = shape
    turn = transforms.RandomAffine(
        AUGMENTATION.rotate,
        translate=(AUGMENTATION.shift, AUGMENTATION.shift),
        scale=(1 - AUGMENTATION.scale, 1 + AUGMENTATION.scale),
        interpolation=transforms.InterpolationMode.BILINEAR,
    )
    steps = [turn, transforms.RandomHorizontalFlip(), transforms.ToTensor(), transforms.Normalize(0.5, 0.5)]
    resize = transforms.Resize((height, width), transforms.InterpolationMode.BICUBIC)
    dataset = ImageFolder(str(folder), transforms.Compose([resize, *steps]), loader=_grey if channels == 1 else _colour)
    codes = torch.tensor(dataset.targets)
    even = WeightedRandomSampler((1 / torch.bincount(codes).double())[codes].tolist(), BATCHES * BATCH)
    # Linux forks workers, except in a process that was itself spawned, as this one was.
    how = {"multiprocessing_context": "fork", "persistent_workers": True} if workers else {}
    loader = DataLoader(dataset, BATCH, sampler=even, num_workers=workers, **how)  # type: ignore[arg-type]
    return lambda: (images for images, _ in loader)


def _grey(file: str) -> Image.Image:
    with Image.open(file) as image:
        return image.convert("L")


def _colour(file: str) -> Image.Image:
    with Image.open(file) as image:
        return image.convert("RGB")


def _memory() -> float:
    """MiB of this process and its workers; what they share is shared out."""
    processes = [os.getpid(), *(child.pid for child in multiprocessing.active_children())]
    return sum(_pss(Path(f"/proc/{process}/smaps_rollup")) for process in processes)


def _pss(file: Path) -> float:
    return next(
        int(line.split()[1]) / 1024 for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("Pss:")
    )


if __name__ == "__main__":
    main(run)
