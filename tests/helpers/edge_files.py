"""Made-up edge maps and annotations, as arrays and as the files of a benchmark."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.io import savemat

SHAPE = (60, 80)  # of which the largest distance is 0.75 pixels
LARGE = (200, 240)  # of which it is 2.3


def outlines(shape: tuple[int, int] = SHAPE, *, annotators: int = 2, seed: int = 0) -> npt.NDArray[np.bool_]:
    """The outline of a box that each annotator draws a little elsewhere, A×H×W."""
    random, drawn = np.random.default_rng(seed), np.zeros((annotators, *shape), np.bool_)
    for one in drawn:
        top, left = random.integers(4, 8, 2)
        bottom, right = np.array(shape) - random.integers(4, 8, 2)
        one[[top, bottom], left : right + 1] = True
        one[top : bottom + 1, [left, right]] = True
    return drawn


def edge_map(boundaries: npt.NDArray[np.bool_], seed: int = 0) -> npt.NDArray[np.float64]:
    """A map in 256 levels that knows the first annotator's outline, in places weakly, among noise."""
    random = np.random.default_rng(seed)
    values = np.where(
        boundaries[0], random.uniform(0.2, 1, boundaries[0].shape), 0.5 * random.random(boundaries[0].shape) ** 4
    )
    return np.rint(255 * values) / 255


def write_annotations(file: Path, boundaries: npt.NDArray[Any]) -> None:
    """As BSDS500 has them: a cell of structures."""
    cell = np.empty((1, len(boundaries)), object)
    for place, one in enumerate(boundaries):
        cell[0, place] = {"Segmentation": np.ones(one.shape, np.uint16), "Boundaries": one.astype(np.uint8)}
    savemat(file, {"groundTruth": cell})


def write_map(file: Path, values: npt.NDArray[np.float64]) -> None:
    """As a grey PNG file of 8 bits."""
    Image.fromarray(np.rint(255 * values).astype(np.uint8)).save(file)


def write_benchmark(folder: Path, images: int, shape: tuple[int, int] = SHAPE) -> tuple[str, str]:
    """The folders `maps` and `truth` of so many images; their paths."""
    maps, truth = folder / "maps", folder / "truth"
    maps.mkdir()
    truth.mkdir()
    for number in range(images):
        boundaries = outlines(shape, seed=number)
        write_map(maps / f"image-{number}.png", edge_map(boundaries, number))
        write_annotations(truth / f"image-{number}.mat", boundaries)
    return str(maps), str(truth)
