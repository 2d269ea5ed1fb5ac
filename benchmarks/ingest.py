"""Images a second of `ingest`, and of a loop over Pillow and a DataLoader that leave an array behind."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

from benchmarks.measure import Spread, alternate, ratio
from benchmarks.pictures import write_photographs
from benchmarks.table import Table, main
from longtail.sources.digits import Digits
from longtail.sources.folder import Folder
from longtail.stages import ingest

SIDE = 64
DIGITS = 1_797
WORKERS = (1, 2)


def run(full: bool) -> Table:
    """Rendered digits, and a folder of photographs; with --full more of the digits and more pairs."""
    table = Table(
        "Ingest",
        "From a source to the packed dataset, checked, with table and md5; the others leave one .npy of pixels.",
        ["source", "side", "images/s", "time to ingest's with 2 workers"],
        notes=[
            "Pillow and the DataLoader resize as `ingest` does; they keep no label, refuse nothing and hash nothing."
        ],
    )
    pairs, copies = (5, 10) if full else (3, 2)
    with TemporaryDirectory() as name:
        folder = Path(name)
        photographs = folder / "photographs"
        about = write_photographs(photographs)
        digits = {_name(workers): _digits(folder, workers, copies) for workers in WORKERS}
        _measure(table, f"{copies * DIGITS:,} digits to 28×28×1", copies * DIGITS, digits, pairs)
        sides = {_name(workers): _folder(folder, workers) for workers in WORKERS}
        sides |= {
            "a loop over Pillow": lambda: _pillow(photographs, folder / "pillow.npy"),
            "DataLoader, 2 workers": lambda: _loader(photographs, folder / "loader.npy"),
        }
        count = len(list(photographs.rglob("*.jpg")))
        _measure(table, f"{about}, to {SIDE}×{SIDE}×3", count, sides, pairs)
    return table


def _measure(table: Table, source: str, count: int, sides: dict[str, Callable[[], object]], pairs: int) -> None:
    times = alternate(sides, pairs=pairs)
    ours = times[_name(2)]
    for name, seconds in times.items():
        speed = Spread.of([count / value for value in seconds]).text("{:,.0f}")
        table.add(source, name, speed, "1" if seconds is ours else ratio(seconds, ours).text())


def _name(workers: int) -> str:
    return f"ingest, {workers} worker{'s' * (workers > 1)}"


def _digits(folder: Path, workers: int, copies: int) -> Callable[[], object]:
    source = Digits(kind="digits", copies=copies)
    params = ingest.Params(source=source, image_shape=(28, 28, 1), workers=workers)
    return lambda: ingest.run(folder, folder / "digits-packed", params=params)


def _folder(folder: Path, workers: int) -> Callable[[], object]:
    params = ingest.Params(source=Folder(kind="folder"), image_shape=(SIDE, SIDE, 3), workers=workers)
    return lambda: ingest.run(folder / "photographs", folder / "packed", params=params)


def _pillow(photographs: Path, target: Path) -> None:
    np.save(target, np.stack([_pixels(str(file)) for file in sorted(photographs.rglob("*.jpg"))]))


def _loader(photographs: Path, target: Path) -> None:
    dataset = ImageFolder(str(photographs), loader=_pixels, transform=torch.from_numpy)
    loader = DataLoader(dataset, batch_size=64, num_workers=2)
    np.save(target, torch.cat([pixels for pixels, _ in loader]).numpy())


def _pixels(file: str) -> npt.NDArray[np.uint8]:
    with Image.open(file) as image:
        image.draft("RGB", (2 * SIDE, 2 * SIDE))
        return np.array(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC))


if __name__ == "__main__":
    main(run)
