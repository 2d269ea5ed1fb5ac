"""Augmentation of colours and noise: of whole batches, on the device that trains, each image by its own numbers.

The last bits of a pixel hang on its image and its numbers alone, not on where in the batch they stand: only operations
that are exact to the last bit are used, and noise comes from a generator for each image.
"""

import torch
from torch import Tensor


def vary_colours(images: Tensor, turn: Tensor, factor: Tensor) -> Tensor:
    """RGB images N×3×H×W in [−1, 1] whose hue is turned, by `turn` (N,) of the circle, and whose saturation is
    multiplied, by `factor` (N,) in [0, 1]. The value of HSV, the largest channel, stays.
    """
    rgb = (images + 1) / 2
    red, green, blue = rgb.unbind(1)
    value = torch.maximum(torch.maximum(red, green), blue)
    chroma = value - torch.minimum(torch.minimum(red, green), blue)
    divisor = torch.where(chroma > 0, chroma, 1.0)
    # In sixths of the circle; of grey it does not matter.
    of_others = torch.where(value == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor)
    hue = torch.where(value == red, (green - blue) / divisor, of_others) + 6 * turn[:, None, None]
    chroma = chroma * factor[:, None, None]
    # A channel is the value in the third of the circle around its own hue, and the value less the chroma opposite.
    places = ((hue + start) % 6 for start in (5, 3, 1))
    channels = [value - chroma * torch.minimum(place, 4 - place).clamp(0, 1) for place in places]
    return torch.stack(channels, 1) * 2 - 1


def add_noise(images: Tensor, deviation: float, drawn: Tensor) -> Tensor:
    """Images N×C×H×W in [−1, 1] and Gaussian noise, clipped; the standard deviation is a share of the range from black
    to white. From `drawn` (N,), uniform in [0, 1), follows the noise of each image.
    """
    noise = torch.empty_like(images)
    for of_image, seed in zip(noise, (drawn.double() * 2**24).long().tolist(), strict=True):
        generator = torch.Generator(images.device).manual_seed(seed)
        of_image.copy_(torch.randn(images.shape[1:], generator=generator, device=images.device))
    return (images + noise * (2 * deviation)).clamp(-1, 1)
