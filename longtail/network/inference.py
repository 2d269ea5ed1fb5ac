"""How a trained network sees an image: at which size, and in which views, over which its answers are averaged.

Source: Cui, "Learning from fine-grained and long-tailed visual data", sections 4.2.1 and 4.4.2 (Table 4.5: 12 crops).
"""

from collections.abc import Iterator
from operator import not_

import torch
from pydantic import BaseModel, Field
from torch import Tensor

from longtail.data.transforms import resized, shape_of_side
from longtail.errors import DataError
from longtail.network.network import Network, on_sphere

Shape = tuple[int, int, int]
ByTask = dict[str, Tensor]
CROP = 0.875  # of each side: 224 of 256 pixels, as is usual


class Inference(BaseModel, extra="forbid", frozen=True):
    """Of `fits` and `train`: by default an image is seen once, as it is packed."""

    side: int | None = Field(
        None, ge=8, exclude_if=lambda side: side is None, description="shorter side to which images are brought"
    )
    mirror: bool = Field(False, exclude_if=not_, description="each view from left to right, too")
    crops: bool = Field(
        False, exclude_if=not_, description="beside the whole image its corners and its centre, 7/8 of each side"
    )

    @property
    def views(self) -> int:
        """How often the network sees an image: 1, 2, 6 or 12."""
        return (6 if self.crops else 1) * (2 if self.mirror else 1)

    def shape(self, packed: Shape) -> Shape:
        """Height, width and channels of a view of packed images of that shape."""
        return shape_of_side(packed, self.side)

    def of(self, images: Tensor) -> Iterator[Tensor]:
        """The views of images N×C×H×W, each N×C×h×w of `shape`."""
        height, width, _ = self.shape((*images.shape[2:], images.shape[1]))
        for part in _parts(images) if self.crops else [images]:
            view = resized(part, (height, width))
            yield view
            if self.mirror:
                yield view.flip(3)

    def embed(self, network: Network, images: Tensor) -> ByTask:
        """f(x) of images N×C×H×W, or of features, for each task: of several views the mean, on the unit sphere."""
        if self == Inference():
            return network.embed(images)
        return _unit(_mean([network.embed(view) for view in self.of(images)]))

    def embed_and_classify(self, network: Network, images: Tensor) -> tuple[ByTask, ByTask]:
        """`embed`, and the logits N×K for each task: of several views their mean."""
        if self == Inference():
            return network.embed_and_classify(images)
        embeddings, logits = zip(*(network.embed_and_classify(view) for view in self.of(images)), strict=True)
        return _unit(_mean(embeddings)), _mean(logits)


def check_size(network: Network, trained_on: Shape, tested_on: Shape) -> None:
    """Raise DataError if a network that is built for images of one shape cannot be trained on those of another."""
    if trained_on == tested_on:
        return
    height, width, channels = trained_on
    some = torch.zeros(1, channels, height, width, device=next(network.parameters()).device)
    try:
        with torch.inference_mode():
            fits = network.eval().pooled(some).shape[1] == network.features
    except (RuntimeError, AssertionError):  # of a layer; timm asserts
        fits = False
    if not fits:
        raise DataError(
            f"this backbone takes images of one size, {tested_on[0]}×{tested_on[1]}, and is trained on "
            f"{height}×{width}: bring both to the same with `optimisation.augmentation.side` and `inference.side`, or "
            "take a backbone that averages over positions, such as resnet32"
        )


def _parts(images: Tensor) -> list[Tensor]:
    """The whole images, their four corners and their centre."""
    height, width = images.shape[2:]
    high, wide = round(height * CROP), round(width * CROP)
    down, right = height - high, width - wide
    places = [(0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2)]
    return [images, *(images[:, :, top : top + high, left : left + wide] for top, left in places)]


def _mean(views: "list[ByTask] | tuple[ByTask, ...]") -> ByTask:
    return {task: torch.stack([view[task] for view in views]).mean(0) for task in views[0]}


def _unit(embeddings: ByTask) -> ByTask:
    return {task: on_sphere(values) for task, values in embeddings.items()}
