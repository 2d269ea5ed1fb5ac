"""Augmentation of whole batches, on the device that trains: one affine warp an image, and mirroring."""

import math

import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field
from torch import Tensor


class Augmentation(BaseModel, extra="forbid"):
    """How training images are varied; all zero and false means not at all."""

    rotate: float = Field(0.0, ge=0, le=180, description="degrees: angles are uniform in ± this")
    scale: float = Field(0.0, ge=0, lt=1, description="factors are uniform in 1 ± this")
    shift: float = Field(0.0, ge=0, lt=1, description="as a share of the side, in ± this")
    mirror: bool = Field(False, description="left to right, every second image")


def to_float(images: Tensor) -> Tensor:
    """uint8 N×H×W×C to float32 N×C×H×W in [−1, 1]; in memory the channels stay last."""
    return images.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def draw(count: int, generator: torch.Generator | None = None) -> Tensor:
    """What the warps of so many images hang on, 5×N uniform in [0, 1), by torch's generator for the CPU or another."""
    return torch.rand((5, count), generator=generator)


def augment(images: Tensor, how: Augmentation, drawn: Tensor | None = None) -> Tensor:
    """Warp each image (N×C×H×W) by its own random affine map; edges are reflected. `drawn`: as `draw` gives.

    The result lies in memory as `images` do.
    """
    if not (how.rotate or how.scale or how.shift or how.mirror):
        return images
    draws = (draw(len(images)) if drawn is None else drawn).to(images.device) * 2 - 1
    angle = draws[0] * how.rotate * math.pi / 180
    zoom = 1 / (1 + draws[1] * how.scale)
    flip = torch.where(draws[4] < 0, -1.0, 1.0) if how.mirror else torch.ones_like(angle)
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    # affine_grid's coordinates run from −1 to 1, so a shift by a share of the side is twice that share.
    # They do so along both sides: the ratio of the sides keeps the rotation of an oblong image rigid.
    oblong = images.shape[2] / images.shape[3]
    top = torch.stack([cos * flip, -sin * oblong, draws[2] * 2 * how.shift], dim=1)
    bottom = torch.stack([sin * flip / oblong, cos, draws[3] * 2 * how.shift], dim=1)
    grid = F.affine_grid(torch.stack([top, bottom], dim=1), list(images.shape), align_corners=False)
    warped = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    # grid_sample puts the channels first in memory. The layers that follow keep the layout that they are given, and on
    # a CPU a step of small_cnn takes 1.5 times as long in that one as with the channels last, as `to_float` gives them.
    return torch.empty_like(images).copy_(warped)
