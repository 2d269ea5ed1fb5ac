"""A tiny bootstrapping: a seed of few banded images, and a pool of files, among them strangers and test images."""

import csv
import hashlib
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image
from tiny import DIGIT, SHAPE

from longtail.bootstrapping.plan import Plan, begun
from longtail.data.dataset import write_dataset
from longtail.data.preprocessing import Preprocessing
from longtail.labelling.queue import Counts, Item, Proposer, Queue, QueueClass, QueueInfo, write_queue
from longtail.labelling.session import Session
from longtail.stages import split

STRANGER = "three"
POOL = 24  # images of each class, and of strangers
OPTIMISATION = {"iterations": 30, "learning_rate": 0.05, "log_every": 10, "checkpoint_every": 10}
PARAMETERS: dict[str, Any] = {
    "cluster_size": 8,
    "network": {"embedding": 8},
    "search": {"neighbours": [1, 3]},
    "fits": {
        "plain": {
            "after": "start",
            "on": "dataset",
            "method": {"kind": "softmax"},
            "batch": 24,
            "negatives": "by_class",
            "optimisation": OPTIMISATION,
        }
    },
    "index": {"rules": ["cluster_wise"]},
}
Images = npt.NDArray[np.uint8]


def banded(count: int, code: int, seed: int) -> Images:
    """Images (count, H, W, 1) with a bright band at the height of a class; strangers, 3, have an upright one."""
    images = np.random.default_rng([seed, code]).integers(0, 120, (count, *SHAPE), dtype=np.uint8)
    band = images[:, :, 10:15] if code == len(DIGIT.classes) else images[:, 4 + 8 * code : 9 + 8 * code]
    band += np.uint8(120)
    return images


def write_growing_set(root: Path, *, jpeg_quality: int | None = None) -> None:
    """Below `root` the packed `dataset`, its `split`, the folder `pool`, the classes of its images in `truth.csv`, and
    `params.yaml`. Ten files of the pool have the pixels of test images, two are the same, one is no image.
    """
    root.mkdir(parents=True, exist_ok=True)
    images = np.concatenate([banded(16, code, seed=1) for code in range(3)])
    names = [f"seed-{i}" for i in range(len(images))]
    samples = pd.DataFrame({"id": names, "source": names, "group": names, "subset": None})
    samples["digit"] = np.repeat(DIGIT.classes, 16)
    how = Preprocessing(image_shape=SHAPE, jpeg_quality=jpeg_quality)
    about: dict[str, Any] = {"tasks": [DIGIT], "image_shape": SHAPE, "provenance": "made for a test", "licence": "none"}
    write_dataset(root / "dataset", samples, [images], preprocessing=how, **about)
    split.run(root / "dataset", root / "split", params=split.Params(validation=0.25, test=0.25))
    table = pd.read_parquet(root / "split/samples.parquet")
    _write_pool(root, images[table["row"][table["subset"] == "test"]][:10])
    (root / "params.yaml").write_text(json.dumps(PARAMETERS))


def _write_pool(root: Path, tested: Images) -> None:
    (root / "pool").mkdir()
    rows = []
    for code, name in enumerate([*DIGIT.classes, STRANGER]):
        for number, pixels in enumerate(banded(POOL, code, seed=2)):
            rows.append((f"pool/{name}-{number:02d}.png", "" if name == STRANGER else name))
            Image.fromarray(pixels[..., 0]).save(root / rows[-1][0])
    for number, pixels in enumerate(tested):
        rows.append((f"pool/tested-{number}.png", ""))
        Image.fromarray(pixels[..., 0]).save(root / rows[-1][0])
    twice = root / rows[0][0]
    (root / "pool/again.png").write_bytes(twice.read_bytes())
    (root / "pool/notes.jpg").write_text("no image")
    with (root / "truth.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "class"), *rows, ("pool/again.png", rows[0][1])])


def begin(root: Path, **changes: Any) -> Plan:
    """The plan of the bootstrapping in `root / "loop"`, of two parts."""
    given = {"dataset": root / "dataset", "split": root / "split", "pool": [root / "pool"], "training": "plain"}
    return begun(root / "loop", {**given, "parts": 2, **changes}, root / "params.yaml")


def pool_files(root: Path) -> dict[str, Path]:
    """By the digest of its bytes each image of the pool."""
    return {hashlib.sha256(file.read_bytes()).hexdigest(): file for file in sorted((root / "pool").glob("*.png"))}


def queue_of(path: Path, files: dict[str, Path], proposed: dict[str, str], *, task: str = "digit") -> Queue:
    """A queue of some images of the pool, each with the class that is proposed, as if a model had made it."""
    path.mkdir(parents=True)
    items = [Item(item, files[item].name, name, 0.9) for item, name in proposed.items()]
    counts = Counts(looked_at=len(items), items=len(items))
    classes, model = [QueueClass(name=name) for name in DIGIT.classes], Proposer(digest="0" * 64)
    about: dict[str, Any] = {"by": "confidence", "confidence": 0.5, "twice": 0, "seed": 0}
    write_queue(path, QueueInfo(task=task, classes=classes, model=model, counts=counts, **about), items)
    return Queue.open(path)


def decide(queue: Path, said: dict[str, str], who: str = "anna") -> None:
    """Have a person say so of these items."""
    with closing(Session(Queue.open(queue))) as session:
        for item, decision in said.items():
            session.decide(who, item, decision)  # type: ignore[arg-type]


def arguments(root: Path, *, parts: int = 2) -> list[str]:
    """The words that begin the bootstrapping in `root / "loop"`."""
    options = {
        "dataset": root / "dataset",
        "split": root / "split",
        "pool": root / "pool",
        "params": root / "params.yaml",
        "training": "plain",
        "parts": parts,
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return ["bootstrap", str(root / "loop"), *words]
