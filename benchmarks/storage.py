"""Pictures of real size: what it takes to ingest them at 224×224, as pixels or as JPEGs, and to load them."""

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.io import decode_jpeg, read_file

from benchmarks.loaders import BATCH, BATCHES, SPAWN, Epoch, cpu_seconds, data_loader, measure, packed
from benchmarks.measure import MIB, Spread, peak_memory, ratio, seconds
from benchmarks.pictures import write_scenes
from benchmarks.table import Table, main
from longtail.data import jpeg
from longtail.data.dataset import PackedDataset
from longtail.data.transforms import Augmentation, to_float
from longtail.sources.folder import Folder
from longtail.stages import ingest

SIDE = 224
WORKERS = 2
STORAGES: tuple[Literal["jpeg", "raw"], ...] = ("jpeg", "raw")
JPEG = "ingest, jpeg"
LOADED = "packed, jpeg"
NOTHING = "–"


class Cost(NamedTuple):
    """Seconds of the clock and of all cores together, and the highest MiB above the start."""

    seconds: float
    cpu: float
    memory: float


def run(full: bool) -> Table:
    """2,000 pictures; with --full 20,000."""
    table = Table(
        "Raw or JPEG",
        f"Pictures brought to {SIDE}×{SIDE}×3: from class folders to the packed dataset, and class-even batches of "
        f"{BATCH} float images from it, without augmentation.",
        ["what", "side", "images/s", "ours to it", "CPU (ms/image)", "first batch (ms)", "memory (MiB)", "disk (MiB)"],
        settings={"Pillow": version("pillow"), "workers": str(WORKERS), "timed": f"{BATCHES} batches together"},
        notes=[
            "Each side is in a process of its own. CPU: of all cores together. Where the load of the machine is above "
            "one, other work took part of the cores: then the CPU says more than the clock.",
            "Memory: ingesting, the highest above its start, not counted where it has processes as workers; loading, "
            "what it and its workers hold in the midst of an epoch, pages of files among it.",
            "ImageFolder and the loop over torchvision.io keep nothing; the latter does not even resize.",
            "First batch: with the files opened, and those compared with their digests that the batch needs.",
            "`the same JPEGs` are those of the packed dataset, decoded by the same function.",
        ],
    )
    with TemporaryDirectory() as name:
        folder = Path(name)
        about = write_scenes(folder / "scenes", 20_000 if full else 2_000)
        size = sum(file.stat().st_size for file in (folder / "scenes").rglob("*.jpg"))
        table.settings["pictures"] = f"{about}, {size / MIB:,.0f} MiB"
        load = [os.getloadavg()[0]]
        _ingest(table, folder, len(list((folder / "scenes").rglob("*.jpg"))), pairs=3)
        load.append(os.getloadavg()[0])
        _load(table, folder, pairs=9 if full else 5)
        load.append(os.getloadavg()[0])
    table.settings["load of the machine"] = " then ".join(f"{value:.1f}" for value in load)
    return table


def _ingest(table: Table, folder: Path, count: int, pairs: int) -> None:
    scenes = folder / "scenes"
    sides: dict[str, Callable[[], object]] = {
        f"ingest, {storage}": partial(_packed, scenes, folder / storage, storage) for storage in STORAGES
    }
    sides |= {
        "ImageFolder and Resize, a loop": partial(_folder_loop, scenes, 0),
        f"ImageFolder and Resize, {WORKERS} workers": partial(_folder_loop, scenes, WORKERS),
        "torchvision.io, decoding alone": partial(_decoding_loop, scenes),
    }
    found: dict[str, list[Cost]] = {name: [] for name in sides}
    for turn in range(pairs):
        for name in list(sides)[:: -1 if turn % 2 else 1]:
            with ProcessPoolExecutor(1, SPAWN) as process:
                found[name].append(process.submit(_cost, sides[name]).result())
    times = {name: [cost.seconds for cost in costs] for name, costs in found.items()}
    for name, costs in found.items():
        speed = Spread.of([count / time for time in times[name]]).text("{:,.0f}")
        quicker = "1" if name == JPEG else ratio(times[name], times[JPEG]).text()
        cpu = Spread.of([1000 * cost.cpu / count for cost in costs]).text()
        memory = f"{max(cost.memory for cost in costs):,.0f}" if "workers" not in name else NOTHING
        kept = folder / name.removeprefix("ingest, ")
        disk = f"{_bytes(kept) / MIB:,.0f}" if kept.is_dir() else NOTHING
        table.add("ingest", name, speed, quicker, cpu, NOTHING, memory, disk)


def _load(table: Table, folder: Path, pairs: int) -> None:
    sides: dict[str, Callable[[], Epoch]] = {
        f"packed, {storage}": partial(packed, folder / storage, Augmentation()) for storage in STORAGES
    }
    sides |= {
        f"DataLoader, the same JPEGs, {WORKERS} workers": partial(_same_jpegs, folder / "jpeg"),
        f"DataLoader, ImageFolder and Resize, {WORKERS} workers": partial(_image_folder, folder / "scenes"),
    }
    found = measure(sides, pairs=pairs)
    for name, side in found.items():
        speed = Spread.of([1 / value for value in side.seconds]).text("{:,.0f}")
        quicker = "1" if name == LOADED else ratio(side.seconds, found[LOADED].seconds).text()
        cpu = Spread.of([1000 * value for value in side.cpu]).text()
        table.add("load", name, speed, quicker, cpu, f"{1000 * side.latency:.0f}", f"{side.memory:,.0f}", NOTHING)


def _cost(work: Callable[[], object]) -> Cost:
    torch.set_num_threads(1)
    times: list[float] = []
    before = cpu_seconds()
    memory = peak_memory(lambda: times.append(seconds(work)))
    return Cost(times[0], cpu_seconds() - before, memory)


def _packed(scenes: Path, target: Path, storage: Literal["jpeg", "raw"]) -> None:
    source = Folder(kind="folder")
    params = ingest.Params(source=source, image_shape=(SIDE, SIDE, 3), storage=storage, workers=WORKERS)
    ingest.run(scenes, target, params=params)


def _folder_loop(scenes: Path, workers: int) -> None:
    how = {"multiprocessing_context": "fork"} if workers else {}  # as `data_loader`
    for _ in DataLoader(_resized(scenes, transforms.PILToTensor()), BATCH, num_workers=workers, **how):  # type: ignore[arg-type]
        pass


def _decoding_loop(scenes: Path) -> None:
    for file in sorted(scenes.rglob("*.jpg")):
        decode_jpeg(read_file(str(file)))


def _resized(scenes: Path, then: Callable[[Any], Tensor]) -> ImageFolder:
    resize = transforms.Resize((SIDE, SIDE), transforms.InterpolationMode.BICUBIC)
    return ImageFolder(str(scenes), transforms.Compose([resize, then]))


def _image_folder(scenes: Path) -> Epoch:
    steps = transforms.Compose([transforms.ToTensor(), transforms.Normalize(0.5, 0.5)])
    dataset = _resized(scenes, steps)
    return data_loader(dataset, dataset.targets, WORKERS)


class _JPEGs(Dataset[tuple[np.ndarray, int]]):
    """Each JPEG of a packed dataset and its class, decoded one by one."""

    def __init__(self, folder: Path) -> None:
        dataset = PackedDataset.open(folder)
        self.shape, self.targets = dataset.info.image_shape, dataset.labels("label").tolist()
        shards = [np.memmap(file, np.uint8, "r") for file in sorted(folder.glob("images-*"))]
        offsets = [np.load(file) for file in sorted(folder.glob("offsets-*"))]
        self.places = [
            (shard, start, end) for shard, ends in zip(shards, offsets, strict=True) for start, end in pairwise(ends)
        ]

    def __getitem__(self, i: int) -> tuple[np.ndarray, int]:
        shard, start, end = self.places[i]
        return jpeg.decode(shard[start:end].tobytes(), self.shape).copy(), self.targets[i]  # torch wants to write to it


def _same_jpegs(folder: Path) -> Epoch:
    dataset = _JPEGs(folder)
    batches = data_loader(dataset, dataset.targets, WORKERS)
    return lambda: (to_float(images) for images in batches())


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


if __name__ == "__main__":
    main(run)
