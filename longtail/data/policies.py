"""Augmentation policies: one image at a time, by operations of torchvision.

Sources: Cubuk et al., RandAugment, NeurIPS 2020; Müller and Hutter, TrivialAugment, ICCV 2021.
"""

from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor

Policy = Literal["randaugment", "trivialaugment"]


def apply_policy(images: Tensor, policy: Policy, drawn: Tensor) -> Tensor:
    """Vary each of the images, uint8 N×H×W×C, as torchvision's class of that name with its defaults; `drawn` (N,)
    uniform in [0, 1), from which all that is random of an image follows.
    """
    seeds = (drawn.double() * 2**24).long().tolist()
    varied = [_varied(image.permute(2, 0, 1), policy, seed) for image, seed in zip(images, seeds, strict=True)]
    return torch.stack(varied).permute(0, 2, 3, 1).contiguous()


@cache
def _operations(policy: Policy) -> Any:
    # torchvision takes seconds to import, and most trainings do without it.
    from torchvision.transforms import v2

    return v2.RandAugment() if policy == "randaugment" else v2.TrivialAugmentWide()


def _varied(image: Tensor, policy: Policy, seed: int) -> Tensor:
    """What `_operations(policy)(image)` does, but by a generator of its own: torch's one for all is the training's, and
    images are varied in another thread.
    """
    operations, generator = _operations(policy), torch.Generator().manual_seed(seed)
    space = operations._AUGMENTATION_SPACE
    names = list(space)
    height, width = image.shape[1:]
    for _ in range(getattr(operations, "num_ops", 1)):
        name = names[int(torch.randint(len(names), (), generator=generator))]
        of_bins, signed = space[name]
        magnitudes = of_bins(operations.num_magnitude_bins, height, width)
        magnitude = 0.0
        if magnitudes is not None:
            place = getattr(operations, "magnitude", None)
            if place is None:
                place = int(torch.randint(len(magnitudes), (), generator=generator))
            magnitude = float(magnitudes[place])
            if signed and torch.rand((), generator=generator) <= 0.5:
                magnitude = -magnitude
        image = operations._apply_image_or_video_transform(
            image, name, magnitude, interpolation=operations.interpolation, fill=operations._fill
        )
    return image
