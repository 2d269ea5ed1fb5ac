"""One packed data set of five domains, each half to transfer from and half to transfer to; no class is in both.

DATA holds cifar10_jpeg.tar.gz, mnist/t10k-*.gz, clothing112.zip and bsds500/bsds500.tar.gz.
"""

import tarfile
from collections.abc import Iterator
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from longtail.artifacts.outputs import written_whole
from longtail.data.dataset import PackedDataset, Task, write_dataset
from longtail.errors import DataError
from longtail.stages import ingest

Pixels = npt.NDArray[np.uint8]
SIDE, PATCH, MOST = 64, 32, 300  # pixels of an image, of a patch of a photograph; images of a class
PHOTOGRAPHS = ["100007", "100039", "100099", "10081", "101027", "101084", "102062", "103006", "103029", "103078"]
# By domain the classes to transfer from, and those to transfer to.
HALVES = {
    "animals": (["bird", "cat", "deer"], ["dog", "frog", "horse"]),
    "vehicles": (["airplane", "automobile"], ["ship", "truck"]),
    "digits": (["0", "1", "2", "3", "4"], ["5", "6", "7", "8", "9"]),
    "clothes": (["T-Shirt", "Pants", "Shirt", "Outwear"], ["Longsleeve", "Shoes", "Dress", "Shorts"]),
    "textures": (PHOTOGRAPHS[:5], PHOTOGRAPHS[5:]),
}
CIFAR: dict[str, Any] = {"kind": "folder", "path": "cifar10_jpeg.tar.gz/test"}
MNIST: dict[str, Any] = {
    "kind": "idx",
    "train": {"images": "mnist/t10k-images-idx3-ubyte.gz", "labels": "mnist/t10k-labels-idx1-ubyte.gz"},
}
CLOTHES: dict[str, Any] = {
    "kind": "table",
    "path": "clothing112.zip",
    "table": "images.csv",
    "images": "images",
    "suffix": ".jpg",
    "group": "sender_id",
    "fit": "pad",
    "labels": [{"column": "label", "missing": ["Not sure"], "drop": ["Skip", "Other"]}],
}
SOURCES = {"animals": CIFAR, "vehicles": CIFAR, "digits": MNIST, "clothes": CLOTHES}


def named(domain: str, half: int) -> list[str]:
    """The classes of a half as the packed data set calls them: `digits 3`."""
    return [f"{domain} {name}" for name in HALVES[domain][half]]


def packed(data: Path, work: Path) -> Path:
    """The packed data set of all domains below `work`, of at most `MOST` images a class; made if it is not there."""
    made = work / "domains"
    if not made.exists():
        for source in {id(one): one for one in SOURCES.values()}.values():
            if not (there := work / str(source["kind"])).exists():
                params = ingest.Params(source=source, image_shape=(SIDE, SIDE, 3), storage="raw")
                ingest.run(data, there, params=params)
        with written_whole({"dataset": made}) as partial:
            _write(data, work, partial["dataset"])
    return made


def _write(data: Path, work: Path, path: Path) -> None:
    parts = [*(_sampled(work / str(source["kind"]), name) for name, source in SOURCES.items()), _textures(data)]
    samples = pd.concat([samples for samples, _ in parts], ignore_index=True)
    classes = [name for domain, half in product(HALVES, (0, 1)) for name in named(domain, half)]
    task = Task(name="label", classes=classes)
    about: dict[str, Any] = {"provenance": "five domains, each in two halves", "licence": "those of its parts"}
    write_dataset(path, samples, (some for _, some in parts), tasks=[task], image_shape=(SIDE, SIDE, 3), **about)


def _sampled(dataset: Path, domain: str) -> tuple[pd.DataFrame, Pixels]:
    """Of a domain's classes in a packed data set at most `MOST` images each, drawn by seed 0."""
    whole = PackedDataset.open(dataset)
    labels = whole.samples["label"].astype(object)
    rng = np.random.default_rng(0)
    drawn = [rng.permutation(np.flatnonzero(labels == name))[:MOST] for half in HALVES[domain] for name in half]
    rows = np.sort(np.concatenate(drawn))
    chosen = whole.samples.iloc[rows]
    columns = {name: domain + " " + chosen[name].astype(str) for name in ("id", "source", "group")}
    samples = pd.DataFrame({**columns, "subset": None, "label": domain + " " + labels.iloc[rows].astype(str)})
    return samples, whole.images(rows)


def _textures(data: Path) -> tuple[pd.DataFrame, Pixels]:
    """Patches of photographs, side by side, of each photograph a class."""
    archive, names, patches = data / "bsds500" / "bsds500.tar.gz", [], []
    with tarfile.open(archive) as tar:
        files = {Path(member.name).stem: member for member in tar if member.name.endswith(".jpg")}
        for name in PHOTOGRAPHS:
            content = tar.extractfile(files[name]) if name in files else None
            if content is None:
                raise DataError(f"{archive} has no photograph {name}.jpg")
            found = list(_patches(Image.open(BytesIO(content.read())).convert("RGB")))
            patches += found
            names += [f"textures {name}"] * len(found)
    ids = [f"{name} {place}" for place, name in enumerate(names)]
    return pd.DataFrame({"id": ids, "source": ids, "group": ids, "subset": None, "label": names}), np.stack(patches)


def _patches(image: Image.Image) -> Iterator[Pixels]:
    for left, top in product(range(0, image.width - PATCH, PATCH), range(0, image.height - PATCH, PATCH)):
        patch = image.crop((left, top, left + PATCH, top + PATCH))
        yield np.asarray(patch.resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.uint8)
