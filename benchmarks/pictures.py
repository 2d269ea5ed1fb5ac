"""Folders of image files, one a class, for the tables that read images."""

import csv
import os
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from sklearn.datasets import load_sample_images

from longtail.data.photographs import Cuts
from longtail.sources.collection import Request
from longtail.sources.digits import Digits

CLOTHING = "LONGTAIL_CLOTHING"
SIDE = 112
CROPS = 800
CROP_CLASSES = 10
SCENE = (256, 340)  # height and width


def write_digits(folder: Path, copies: int) -> str:
    """scikit-learn's digits as the source `digits` renders them, as PNG; returns what they are."""
    request = Request((28, 28, 1), folder.parent, workers=2)
    collection = Digits(kind="digits", copies=copies).load(folder, request)
    names = collection.samples["id"] + ".png"
    files = [_file(folder, label, name) for label, name in zip(collection.samples["digit"], names, strict=True)]
    assert not isinstance(collection.images, Cuts)
    for file, pixels in zip(files, (image for block in collection.images for image in np.asarray(block)), strict=True):
        Image.fromarray(pixels[..., 0]).save(file)
    return f"{len(files):,} rendered digits, PNG 28×28"


def write_photographs(folder: Path) -> str:
    """The clothing photographs if LONGTAIL_CLOTHING names the directory of clothing112.zip, else crops; as JPEG."""
    clothing = os.environ.get(CLOTHING)
    return _write_clothing(folder, Path(clothing) / "clothing112.zip") if clothing else _write_crops(folder)


def write_scenes(folder: Path, count: int) -> str:
    """Generated pictures in classes of equal size: a gradient, clouds, shapes and grain, so that their JPEGs are as
    large as those of photographs; returns what they are.
    """
    size = 0
    for number in range(count):
        file = _file(folder, f"{number % CROP_CLASSES}", f"{number:06d}.jpg")
        _scene(np.random.default_rng(number)).save(file, quality=90)
        size += file.stat().st_size
    height, width = SCENE
    return f"{count:,} generated pictures, JPEG {height}×{width}, {size / count / 1000:.0f} kB each"


def _scene(rng: np.random.Generator) -> Image.Image:
    height, width = SCENE
    picture = Image.fromarray(rng.integers(0, 256, (2, 2, 3), np.uint8)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    for cells in (8, 32, 128):
        clouds = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), np.uint8))
        picture = Image.blend(picture, clouds.resize((width, height), Image.Resampling.BICUBIC), 0.2)
    draw = ImageDraw.Draw(picture)
    for left, top, side in rng.integers((0, 0, 10), (width, height, 90), (12, 3)).tolist():
        shape = draw.ellipse if side % 2 else draw.rectangle
        shape((left, top, left + side, top + side), fill=tuple(rng.integers(0, 256, 3).tolist()))
    grain = rng.integers(-6, 7, (height, width, 1), np.int16)
    return Image.fromarray((np.asarray(picture, np.int16) + grain).clip(0, 255).astype(np.uint8))


def _write_crops(folder: Path) -> str:
    rng = np.random.default_rng(0)
    photographs = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    for number in range(CROPS):
        photograph = photographs[number % len(photographs)]
        left, top = (int(rng.integers(side - 2 * SIDE)) for side in photograph.size)
        crop = photograph.crop((left, top, left + 2 * SIDE, top + 2 * SIDE)).resize((SIDE, SIDE))
        crop.save(_file(folder, str(number % CROP_CLASSES), f"{number}.jpg"), quality=90)
    return f"{CROPS:,} crops of scikit-learn's two photographs, JPEG {SIDE}×{SIDE}"


def _write_clothing(folder: Path, archive: Path) -> str:
    with zipfile.ZipFile(archive) as files:
        table = list(csv.DictReader(files.read("images.csv").decode().splitlines()))
        for row in table:
            name = f"{row['image']}.jpg"
            _file(folder, row["label"], name).write_bytes(files.read(f"images/{name}"))
    return f"{len(table):,} clothing photographs, JPEG, short side {SIDE}"


def _file(folder: Path, label: str, name: str) -> Path:
    (folder / label).mkdir(parents=True, exist_ok=True)
    return folder / label / name
