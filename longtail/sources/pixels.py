"""Decoded images to pixels of one shape: size, channels, transparency."""

import numpy as np
from PIL import Image, ImageOps

from longtail.data.preprocessing import Fit
from longtail.sources.collection import Pixels, Shape

RESAMPLING = Image.Resampling.BICUBIC  # Pillow widens its support when it shrinks, so this is free of aliasing


def to_shape(image: Image.Image, shape: Shape, fit: Fit = "stretch") -> Pixels:
    """Pixels H×W×C of a decoded image of 8 bits: grey if C is 1, RGB if C is 3; transparency is laid over white."""
    height, width, channels = shape
    image = flatten(image).convert("L" if channels == 1 else "RGB")
    if image.size != (width, height):
        if fit == "crop":
            image = ImageOps.fit(image, (width, height), RESAMPLING)
        elif fit == "pad":
            image = ImageOps.pad(image, (width, height), RESAMPLING)
        else:
            image = image.resize((width, height), RESAMPLING)
    return np.asarray(image, np.uint8).reshape(shape)


def conform(images: Pixels, shape: Shape) -> Pixels:
    """Blocks n×h×w of grey images, or n×h×w×c, brought to n×H×W×C as in `to_shape`."""
    images = images if images.ndim == 4 else images[..., None]
    if images.shape[1:] == shape:
        return images
    flat = images[..., 0] if images.shape[-1] == 1 else images
    return np.stack([to_shape(Image.fromarray(image), shape) for image in flat])


def flatten(image: Image.Image) -> Image.Image:
    """The image without transparency, over white."""
    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
