"""Digits rotated and blended over natural-image patches, after MNIST-rot-back-image.

H. Larochelle, D. Erhan, A. Courville, J. Bergstra, Y. Bengio: An empirical evaluation of deep architectures on
problems with many factors of variation. ICML 2007. They rotate each digit by an angle uniform in [0, 2π) and put it
over a patch drawn at random from photographs, passing over patches of low variance. How the two are combined and the
variance threshold are not printed; here each pixel is the brighter of digit and patch, and very bright patches, in
which a white digit disappears, are passed over too.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from longtail.errors import DataError
from longtail.sources.collection import Bools, Ints, Pixels
from longtail.sources.parallel import ordered_map, spans

BLOCK = 2048


@dataclass(frozen=True)
class Poses:
    """How N digits are placed: the angle in degrees, whether mirrored, and the scale; each of shape N."""

    angle: npt.NDArray[np.float64]
    mirror: Bools
    scale: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.angle)

    def __getitem__(self, rows: "slice | Ints") -> "Poses":
        return Poses(self.angle[rows], self.mirror[rows], self.scale[rows])


def draw_poses(
    random: np.random.Generator, count: int, *, rotate: bool, mirror: bool, scale: tuple[float, float]
) -> Poses:
    """Uniform angles in [0, 360) or all 0, mirrored with probability one half or never, scales uniform in the range."""
    return Poses(
        random.uniform(0.0, 360.0, count) * rotate,
        (random.random(count) < 0.5) & mirror,
        random.uniform(*scale, count),
    )


def place(digits: Pixels, poses: Poses) -> Pixels:
    """Rotate, mirror and resize n×h×w digits about their centre by bicubic resampling; uncovered pixels are 0."""
    height, width = digits.shape[1:]
    centre = np.array([width / 2, height / 2])
    angle = np.deg2rad(poses.angle)
    cos, sin = np.cos(angle) / poses.scale, np.sin(angle) / poses.scale
    side = np.where(poses.mirror, -1.0, 1.0)
    # Pillow maps each output pixel (x, y) to the input: rotate about the centre, then mirror x.
    matrices = np.stack([np.stack([side * cos, side * -sin], -1), np.stack([sin, cos], -1)], -2)
    offsets = centre - matrices @ centre
    placed = np.empty_like(digits)
    for i, (matrix, offset) in enumerate(zip(matrices, offsets, strict=True)):
        coefficients = (*matrix[0], offset[0], *matrix[1], offset[1])
        image = Image.fromarray(digits[i])
        turned = image.transform((width, height), Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC)
        placed[i] = np.asarray(turned)
    return placed


class Photographs:
    """Grey photographs (uint8, H×W each, of any size) from which patches are drawn.

    Patches whose standard deviation is below `min_deviation`, or whose mean is above `max_brightness`, both in grey
    levels of 255, are passed over.
    """

    TRIALS = 100

    def __init__(self, images: list[Pixels], min_deviation: float, max_brightness: float) -> None:
        self._images = images
        self._max_brightness = max_brightness
        self._min_deviation = min_deviation

    def patches(self, random: np.random.Generator, count: int, height: int, width: int) -> Pixels:
        """Draw `count` patches, count×height×width; photographs are equally likely, so are places in them.

        Raises DataError if no photograph is that large or nearly all patches are passed over.
        """
        images = [image for image in self._images if image.shape[0] >= height and image.shape[1] >= width]
        if not images:
            raise DataError(f"no background photograph is as large as {height}×{width} pixels")
        patches = np.empty((count, height, width), np.uint8)
        wanted = np.arange(count)
        for _ in range(self.TRIALS):
            drawn = _cut(images, random, len(wanted), height, width)
            patches[wanted] = drawn
            flat, bright = drawn.std(axis=(1, 2)) < self._min_deviation, drawn.mean(axis=(1, 2)) > self._max_brightness
            wanted = wanted[flat | bright]
            if not len(wanted):
                return patches
        raise DataError(
            f"hardly any background patch has a deviation of {self._min_deviation} grey levels and a mean of at most "
            f"{self._max_brightness}; lower min_deviation or raise max_brightness"
        )


def _cut(images: list[Pixels], random: np.random.Generator, count: int, height: int, width: int) -> Pixels:
    which = random.integers(len(images), size=count)
    tops, lefts = random.random(count), random.random(count)
    patches = np.empty((count, height, width), np.uint8)
    for i, (number, top, left) in enumerate(zip(which, tops, lefts, strict=True)):
        image = images[number]
        y = int(top * (image.shape[0] - height + 1))
        x = int(left * (image.shape[1] - width + 1))
        patches[i] = image[y : y + height, x : x + width]
    return patches


def render(
    digits: Pixels,
    index: Ints,
    poses: Poses,
    photographs: Photographs | None,
    *,
    seed: np.random.SeedSequence,
    workers: int,
) -> Iterator[Pixels]:
    """Yield blocks n×h×w: the digit `digits[index[i]]` in pose i, over a fresh patch where there are photographs.

    Each block has its own random stream, so that the pixels do not depend on `workers`.
    """
    cuts = spans(len(index), BLOCK)
    streams = seed.spawn(len(cuts))

    def render_block(number: int) -> Pixels:
        rows = cuts[number]
        placed = place(digits[index[rows]], poses[rows])
        if photographs is None:
            return placed
        random = np.random.default_rng(streams[number])
        return np.maximum(placed, photographs.patches(random, *placed.shape))

    return ordered_map(render_block, range(len(cuts)), workers=workers, title="rendering")
