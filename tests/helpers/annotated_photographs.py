"""Made-up photographs in the folders of BSDS500: a bright box on a dark ground, whose outline annotators have drawn."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from edge_files import outlines, write_annotations
from PIL import Image

SIZE = (48, 56)
SUBSETS = ("train", "val", "test")


def photograph(boundaries: npt.NDArray[np.bool_], seed: int = 0) -> npt.NDArray[np.uint8]:
    """uint8 H×W×3: bright inside of what the first annotator drew."""
    rows, columns = np.nonzero(boundaries[0])
    pixels = np.random.default_rng(seed).integers(0, 60, (*boundaries.shape[1:], 3))
    pixels[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] += 180
    return pixels.astype(np.uint8)


def write_photographs(root: Path, each: int = 2, size: tuple[int, int] = SIZE) -> None:
    """So many of every subset below the directory `root`."""
    for place, subset in enumerate(SUBSETS):
        for folder in ("images", "groundTruth"):
            (root / folder / subset).mkdir(parents=True, exist_ok=True)
        for number in range(each):
            seed = 10 * place + number
            boundaries = outlines(size if number % 2 else size[::-1], annotators=2 + number % 2, seed=seed)
            Image.fromarray(photograph(boundaries, seed)).save(root / "images" / subset / f"{seed}.jpg", quality=95)
            write_annotations(root / "groundTruth" / subset / f"{seed}.mat", boundaries)
