"""Image files as cameras, scanners and drawing programs write them, and a tiny model trained on a hundred of them."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tiny import OPTIMISATION, PARAMETERS

CLASSES = ("circle", "cross", "stripes")
ORIENTATION = 0x0112
KINDS = (
    "png",
    "jpeg",
    "turned jpeg",
    "alpha",
    "grey",
    "grey alpha",
    "palette",
    "16 bit",
    "cmyk",
    "webp",
    "progressive",
)
STAGES = {
    "ingest": {"data": ".", "dataset": "dataset"},
    "split": {"dataset": "dataset", "split": "split"},
    "start": {"dataset": "dataset", "split": "split", "model": "start/model"},
    "fit": {"dataset": "dataset", "split": "split", "previous": "start/model", "model": "softmax/model"},
    "index": {"split": "split", "model": "softmax/model", "index": "index/softmax"},
    "evaluate": {"dataset": "dataset", "split": "split", "indexes": "index", "report": "report"},
}
SHAPE = (24, 20, 3)


def picture(code: int, number: int) -> Image.Image:
    """An RGB drawing of a class, of a size and colours of its own."""
    rng = np.random.default_rng([code, number])
    height, width = rng.integers(20, 90, 2)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    drawn = (np.hypot(x, y) < 0.7, (np.abs(x) < 0.25) | (np.abs(y) < 0.25), np.sin(9 * y + rng.uniform(0, 6)) > 0)[code]
    ground, ink = rng.integers(0, 100, 3), rng.integers(150, 255, 3)
    noise = rng.normal(0, 8, (height, width, 3))
    return Image.fromarray((np.where(drawn[..., None], ink, ground) + noise).clip(0, 255).astype(np.uint8))


def save(image: Image.Image, stem: Path, kind: str, turn: int = 6) -> Path:
    """The RGB image as a file of that kind; `turn` is the EXIF orientation of a turned one."""
    suffix = {"jpeg": ".jpg", "turned jpeg": ".jpg", "cmyk": ".jpg", "progressive": ".JPG", "webp": ".webp"}
    file = stem.with_suffix(suffix.get(kind, ".png"))
    exif = Image.Exif()
    exif[ORIENTATION] = turn
    options: dict[str, Any] = {"turned jpeg": {"exif": exif}, "progressive": {"progressive": True}}.get(kind, {})
    if kind in ("alpha", "grey alpha"):
        image = image.convert("RGBA")
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    modes = {"grey": "L", "grey alpha": "LA", "palette": "P", "cmyk": "CMYK"}
    image = image.convert(modes.get(kind, image.mode))
    if kind == "16 bit":
        image = Image.fromarray(np.asarray(image.convert("L"), np.uint16) * 257)
    image.save(file, **options)
    return file


def write_pictures(folder: Path, per_class: int) -> list[Path]:
    """Class folders of files of every kind."""
    files = []
    for code, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for number in range(per_class):
            kind = KINDS[number % len(KINDS)]
            files.append(save(picture(code, number), folder / name / f"{number:03d}", kind, 1 + number % 8))
    return files


def ingest_pictures(root: Path, per_class: int, **changes: Any) -> None:
    """The class folders `photos`, and their packed data set; `changes`: of the parameters, `fit` of the source's."""
    write_pictures(root / "photos", per_class)
    source = {"kind": "folder", "path": "photos", "licence": "CC0", "fit": changes.pop("fit", "stretch")}
    run_step(root, "ingest", {"source": source, "image_shape": SHAPE, **changes})


def train_on_pictures(root: Path, per_class: int = 44) -> None:
    """The class folders `photos`, and every step of a softmax training on them."""
    ingest_pictures(root, per_class)
    changes: dict[str, dict[str, Any]] = {
        "fit": {"optimisation": {**OPTIMISATION, "iterations": 30}},
        "evaluate": {"models": ["softmax"]},
    }
    for stage in list(STAGES)[1:]:
        run_step(root, stage, {**PARAMETERS[stage], **changes.get(stage, {})})


def run_step(root: Path, stage: str, parameters: dict[str, Any]) -> None:
    """Run a stage on its artifacts below `root`."""
    module = importlib.import_module(f"longtail.stages.{stage}")
    artifacts = {name: root / path for name, path in STAGES[stage].items()}
    module.run(**artifacts, params=module.Params(**parameters))
