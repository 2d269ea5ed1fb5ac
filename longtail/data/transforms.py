"""Augmentation of whole batches, on the device that trains: turns, an affine warp, colours, noise, a hole."""

import math
from operator import not_
from typing import Self

import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field, model_validator
from torch import Tensor

from longtail.data.photometric import add_noise, vary_colours
from longtail.data.policies import Policy
from longtail.errors import DataError

POLICY, VIEW, QUARTER, FLIP, HUE, SATURATION, NOISE = range(11, 18)  # rows of what `draw` gives
# Pixels that a CPU warps at a time: the tensors on the way then stay in its cache, and warping takes half the time.
PIECE = 2**17


class Augmentation(BaseModel, extra="forbid"):
    """How training images are varied; all zero and false means not at all."""

    rotate: float = Field(0.0, ge=0, le=180, description="degrees: angles are uniform in ± this")
    scale: float = Field(0.0, ge=0, lt=1, description="factors are uniform in 1 ± this")
    shift: float = Field(0.0, ge=0, lt=1, description="as a share of the side, in ± this")
    mirror: bool = Field(False, description="left to right, every second image")
    crop: float = Field(
        1.0, gt=0, le=1, description="random resized crop: areas are uniform from this share to 1, sides 3:4 to 4:3"
    )
    crop_side: float = Field(
        1.0,
        gt=0,
        le=1,
        exclude_if=lambda share: share == 1,
        description="random crop of the image's own shape: sides are uniform from this share to 1",
    )
    quarter_turns: bool = Field(
        False, exclude_if=not_, description="by 0, 90, 180 or 270 degrees, of square images; pixels stay as they are"
    )
    flip: bool = Field(False, exclude_if=not_, description="upside down, every second image")
    hue: float = Field(
        0.0, ge=0, le=0.5, exclude_if=not_, description="as a share of the circle: turns are uniform in ± this"
    )
    saturation: float = Field(0.0, ge=0, le=1, exclude_if=not_, description="factors are uniform from 1 less this to 1")
    noise: float = Field(
        0.0,
        ge=0,
        le=1,
        exclude_if=not_,
        description="Gaussian, on every channel of a pixel: standard deviation as a share of the range of values",
    )
    side: int | None = Field(
        None,
        ge=8,
        exclude_if=lambda side: side is None,
        description="shorter side to which images are brought before all of this but the policy",
    )
    cutout: float = Field(0.0, ge=0, lt=1, description="side of a square made grey, as a share of the shorter side")
    policy: Policy | None = Field(None, description="randaugment, trivialaugment: first of all")

    @model_validator(mode="after")
    def _one_crop(self) -> Self:
        if self.crop < 1 and self.crop_side < 1:
            raise ValueError("`crop` and `crop_side` are two ways to crop an image; give one of them")
        return self

    def check(self, shape: tuple[int, int, int]) -> None:
        """Raise DataError if images of this shape (height, width, channels) cannot be varied so."""
        height, width, channels = shape
        if self.quarter_turns and height != width:
            raise DataError(
                f"augmentation.quarter_turns is of square images, and these are {height}×{width}: leave it out, or "
                "bring them to a square `ingest.image_shape`"
            )
        if (self.hue or self.saturation) and channels == 1:
            raise DataError("augmentation.hue and augmentation.saturation vary colours, and the images are grey")

    @property
    def warps(self) -> bool:
        """Whether images are warped at all."""
        return bool(self.rotate or self.scale or self.shift or self.mirror or self.crop < 1 or self.crop_side < 1)

    @property
    def varies(self) -> bool:
        """Whether there is anything to do but what the policy does, and to bring images to their size."""
        return self.model_copy(update={"policy": None, "side": None}) != Augmentation()


def to_float(images: Tensor) -> Tensor:
    """uint8 N×H×W×C to float32 N×C×H×W in [−1, 1]; in memory the channels stay last."""
    return images.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def shape_of_side(shape: tuple[int, int, int], side: int | None) -> tuple[int, int, int]:
    """Height, width and channels of images that have been brought to a shorter side; None: as they are."""
    height, width, channels = shape
    share = 1 if side is None else side / min(height, width)
    return round(height * share), round(width * share), channels


def resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Images N×C×H×W at another height and width, bilinear and smoothed where they become smaller."""
    if images.shape[2:] == size:
        return images
    return F.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)


def draw(count: int, generator: torch.Generator | None = None) -> Tensor:
    """All that the augmentation of so many images hangs on, uniform in [0, 1), by torch's generator for the CPU or
    another: a column an image, a row for each of angle, scale, two shifts, mirror, area (or side), sides and place of
    the crop, place of the hole, policy, stored view, quarter turns, flip, hue, saturation and noise.
    """
    # The first are drawn for themselves: what was trained before there were others keeps its images.
    return torch.cat([torch.rand((rows, count), generator=generator) for rows in (5, 7, 1, 5)])


def augment(images: Tensor, how: Augmentation, drawn: Tensor | None = None) -> Tensor:
    """Vary each image (N×C×H×W, in [−1, 1]) by what was drawn for it: exact turns, a random affine map with the edges
    reflected, colours, noise, and at last a blank square. `drawn`: as `draw` gives.

    The result lies in memory as `images` do.
    """
    if not how.varies:
        return images
    drawn = (draw(len(images)) if drawn is None else drawn).to(images.device)
    # grid_sample puts the channels first in memory. The layers that follow keep the layout that they are given, and on
    # a CPU a step of small_cnn takes 1.5 times as long in that one as with the channels last, as `to_float` gives them.
    varied = torch.empty_like(images)
    pixels = images.shape[2] * images.shape[3]
    piece = max(1, PIECE // pixels if images.device.type == "cpu" else len(images))
    for some in (slice(start, start + piece) for start in range(0, len(images), piece)):
        varied[some] = _varied(images[some], how, drawn[:, some])
    return varied


def _varied(images: Tensor, how: Augmentation, drawn: Tensor) -> Tensor:
    if how.quarter_turns:
        images = _turned(images, (drawn[QUARTER] * 4).long())
    if how.flip:
        images = torch.where((drawn[FLIP] < 0.5)[:, None, None, None], images.flip(2), images)
    if how.warps:
        grid = _grid(images, how, drawn)
        images = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    if how.hue or how.saturation:
        images = vary_colours(images, (drawn[HUE] * 2 - 1) * how.hue, 1 - drawn[SATURATION] * how.saturation)
    if how.noise:
        images = add_noise(images, how.noise, drawn[NOISE])
    return torch.where(_hole(images, how, drawn), 0.0, images) if how.cutout else images


def _turned(images: Tensor, quarters: Tensor) -> Tensor:
    """Square images, each turned counter-clockwise by so many quarters, 0 to 3."""
    turned = images
    for times in (1, 2, 3):  # of all images: to pick some makes a GPU wait
        chosen = (quarters == times)[:, None, None, None]
        turned = torch.where(chosen, torch.rot90(images, times, (2, 3)), turned)
    return turned


def _hole(images: Tensor, how: Augmentation, drawn: Tensor) -> Tensor:
    """Where the square is, N×1×H×W; its centre is anywhere on the image (DeVries and Taylor 2017)."""
    height, width = images.shape[2:]
    half = how.cutout * min(height, width) / 2
    across, down = drawn[9] * width, drawn[10] * height
    x, y = (torch.arange(side, device=images.device) + 0.5 for side in (width, height))
    return ((x - across[:, None]).abs() < half)[:, None, None, :] & ((y - down[:, None]).abs() < half)[:, None, :, None]


def _grid(images: Tensor, how: Augmentation, drawn: Tensor) -> Tensor:
    """Where each pixel comes from, N×H×W×2, in the coordinates of grid_sample: from −1 to 1 along both sides."""
    draws = drawn * 2 - 1
    angle = draws[0] * how.rotate * math.pi / 180
    zoom = 1 / (1 + draws[1] * how.scale)
    flip = torch.where(draws[4] < 0, -1.0, 1.0) if how.mirror else torch.ones_like(angle)
    # The last bits of a float32 cosine hang on where in the tensor an angle stands; rounded from float64 they do not:
    # an image is warped to the same bits in whichever process it is.
    turn = angle.double()
    cos, sin = torch.cos(turn).float() * zoom, torch.sin(turn).float() * zoom
    # A shift by a share of the side is twice that share; the ratio of the sides keeps the rotation of an oblong image
    # rigid.
    height, width = images.shape[2:]
    oblong = height / width
    x, y = _centres(width, images.device), _centres(height, images.device)[:, None]
    if how.crop < 1 or how.crop_side < 1:
        x, y = _cropped(x, y, how, drawn, oblong)
    cos, sin, flip, right, down = (of_image[:, None, None] for of_image in (cos, sin, flip, draws[2], draws[3]))
    # torch's affine_grid takes six times as long on a CPU: a product of many matrices of three columns.
    across = (cos * flip) * x - (sin * oblong) * y + right * 2 * how.shift
    along = (sin * flip / oblong) * x + cos * y + down * 2 * how.shift
    return torch.stack([across, along], dim=3)


def _cropped(x: Tensor, y: Tensor, how: Augmentation, drawn: Tensor, oblong: float) -> tuple[Tensor, Tensor]:
    """The same places in each image's crop (N×…): of a random area, cut where it is longer than the image, or of a
    random side.
    """
    if how.crop_side < 1:
        width = height = (how.crop_side + drawn[5] * (1 - how.crop_side))[:, None, None]
    else:
        area = how.crop + drawn[5] * (1 - how.crop)
        ratio = torch.exp((drawn[6] * 2 - 1) * math.log(4 / 3))
        width = torch.sqrt(area * ratio * oblong).clamp(max=1)[:, None, None]
        height = torch.sqrt(area / ratio / oblong).clamp(max=1)[:, None, None]
    right, down = (drawn[row][:, None, None] * 2 - 1 for row in (7, 8))
    return x * width + right * (1 - width), y * height + down * (1 - height)


def _centres(count: int, device: torch.device) -> Tensor:
    """Where the pixels' centres lie along a side from −1 to 1."""
    return (torch.arange(count, device=device) * 2 + 1) / count - 1
