"""The embedded default: scikit-learn's digits rotated over scikit-learn's photographs. No download, no file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from PIL import Image
from pydantic import Field

from longtail.data.injection import NONE, Injection
from longtail.sources.classes import make_task
from longtail.sources.collection import Collection, Ints, Pixels, Request, Source
from longtail.sources.pixels import conform
from longtail.sources.rotback import Photographs, draw_poses, render

SIDE = 28
# As in MNIST, the digit fills the middle 20×20 pixels: its corners, empty in nearly every digit, may leave the image.
DIGIT_SIDE = 20
# A stroke covers only a part of most of the 8×8 cells: coverage under 3/16 becomes black, over 12/16 white, so that
# strokes are as white as MNIST's and the holes of 6, 8 and 9 stay open. By eye.
BLACK, WHITE = 3 / 16, 12 / 16

PROVENANCE = (
    "Optical Recognition of Handwritten Digits, test set (Alpaydin and Kaynak, UCI, 1998), as bundled with "
    "scikit-learn; rotated and blended over patches of its photographs china.jpg and flower.jpg (danielbuechele, "
    "vultilion), after MNIST-rot-back-image (Larochelle et al., 2007)"
)
LICENCE = "digits: CC BY 4.0; photographs: CC BY 2.0"


class Digits(Source):
    """Each of 1,797 digits is rendered `copies` times, over patches as in `Photographs`.

    The copies of a digit are one group; there are no official subsets. The example is balanced: `imbalance` says what
    `split` injects into its training subset.
    """

    kind: Literal["digits"]
    copies: int = Field(10, ge=1)
    rotate: bool = Field(True, description="turn each copy by a random angle")
    mirror: bool = Field(True, description="mirror each copy with probability one half")
    scale: tuple[float, float] = Field((0.9, 1.1), description="each copy is resized by a factor in this range")
    min_deviation: float = Field(15.0, ge=0, description="of a patch's grey levels, the least standard deviation")
    max_brightness: float = Field(180.0, ge=0, description="of a patch's grey levels, the greatest mean")
    imbalance: Injection = NONE

    def load(self, root: Path, request: Request) -> Collection:
        """See `Source.load`; `root` is not read."""
        canvases, labels = _canvases()
        index = np.repeat(np.arange(len(labels)), self.copies)
        names = [f"digit-{i:04d}" for i in index]
        copies = np.tile(np.arange(self.copies), len(labels))
        samples = pd.DataFrame({"source": names, "group": names, "subset": None, "digit": labels[index].astype(str)})
        samples["id"] = [f"{name}-{copy}" for name, copy in zip(names, copies, strict=True)]
        task = make_task("digit", [str(digit) for digit in range(10)])
        images = self._images(canvases, index, request)
        return Collection(samples, [task], images, PROVENANCE, LICENCE, self.imbalance)

    def _images(self, canvases: Pixels, index: Ints, request: Request) -> Iterator[Pixels]:
        posing, rendering = np.random.SeedSequence(request.seed).spawn(2)
        poses = draw_poses(
            np.random.default_rng(posing), len(index), rotate=self.rotate, mirror=self.mirror, scale=self.scale
        )
        # scikit-learn takes over a second to import, and the other sources do without it.
        from sklearn.datasets import load_sample_images

        photographs = Photographs(
            [np.asarray(Image.fromarray(image).convert("L")) for image in load_sample_images().images],
            self.min_deviation,
            self.max_brightness,
        )
        blocks = render(canvases, index, poses, photographs, seed=rendering, workers=request.workers)
        return (conform(block, request.image_shape) for block in blocks)


def _canvases() -> tuple[Pixels, Ints]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    margin = (SIDE - DIGIT_SIDE) // 2
    canvases = np.zeros((len(bunch.images), SIDE, SIDE), np.uint8)
    for canvas, image in zip(canvases, bunch.images, strict=True):
        coverage = Image.fromarray((image / 16).astype(np.float32))
        upscaled = np.asarray(coverage.resize((DIGIT_SIDE, DIGIT_SIDE), Image.Resampling.BICUBIC))
        stretched = ((upscaled - BLACK) / (WHITE - BLACK)).clip(0, 1)
        canvas[margin:-margin, margin:-margin] = (stretched * 255).round()
    return canvases, bunch.target
