"""Images on their way to the network: the packed dataset against ImageFolder, Pillow and a DataLoader."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from torchvision import transforms
from torchvision.datasets import ImageFolder

from benchmarks.loaders import BATCH, BATCHES, Epoch, data_loader, measure, packed
from benchmarks.measure import Spread, ratio
from benchmarks.pictures import write_digits, write_photographs
from benchmarks.table import Table, main
from longtail.data.transforms import Augmentation
from longtail.sources.folder import Folder
from longtail.stages import ingest

Shape = tuple[int, int, int]
AUGMENTATION = Augmentation(rotate=10, scale=0.1, shift=0.05, mirror=True)
OURS = "packed, batched"
WORKERS = (0, 1, 2)


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
    ours = folder.with_name(f"{folder.name}-packed")
    ingest.run(folder, ours, params=ingest.Params(source=Folder(kind="folder"), image_shape=shape))
    size = "×".join(map(str, shape))
    sides: dict[str, Callable[[], Epoch]] = {OURS: partial(packed, ours, AUGMENTATION)}
    sides |= {f"ImageFolder, {workers} workers": partial(_image_folder, folder, workers, shape) for workers in WORKERS}
    found = measure(sides, pairs=pairs)
    for name, side in found.items():
        quicker = "1" if name == OURS else ratio(side.seconds, found[OURS].seconds).text("{:.1f}")
        speed = Spread.of([1 / value for value in side.seconds])
        row = (speed.text("{:,.0f}"), quicker, f"{1000 * side.latency:.0f}", f"{side.memory:.0f}")
        table.add(f"{images}, to {size}", name, *row)


def _image_folder(folder: Path, workers: int, shape: Shape) -> Epoch:
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
    return data_loader(dataset, dataset.targets, workers)


def _grey(file: str) -> Image.Image:
    with Image.open(file) as image:
        return image.convert("L")


def _colour(file: str) -> Image.Image:
    with Image.open(file) as image:
        return image.convert("RGB")


if __name__ == "__main__":
    main(run)
