"""The tiny data set with hard negatives: images of another kind, each rejected as one of the classes."""

from pathlib import Path

import numpy as np
import pandas as pd
from tiny import DIGIT, SHAPE, write_tiny_dataset

from longtail.data.dataset import PackedDataset, rejected_column, write_dataset

COUNT = 30  # hard negatives, as many of each class


def write_with_negatives(path: Path, *, subset: str | None = None) -> None:
    """The tiny data set and behind it COUNT hard negatives: images with a bright column, each a group of its own."""
    plain = path.with_name(f"{path.name}-plain")
    write_tiny_dataset(plain)
    packed = PackedDataset.open(plain)
    images = np.random.default_rng(5).integers(0, 120, (COUNT, *SHAPE), dtype=np.uint8)
    images[:, :, 10:15] += np.uint8(120)
    names = [f"rejected-{i}" for i in range(COUNT)]
    more = pd.DataFrame({"id": names, "source": names, "group": names, "subset": subset, "digit": None})
    more[rejected_column("digit")] = [DIGIT.classes[i % 3] for i in range(COUNT)]
    samples = pd.concat([packed.samples.astype(object), more.astype(object)], ignore_index=True)
    blocks = [packed.images(np.arange(len(packed))), images]
    write_dataset(path, samples, blocks, tasks=[DIGIT], image_shape=SHAPE, provenance="made for a test", licence="none")
