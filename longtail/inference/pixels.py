"""Images as callers have them, to the pixels that a model sees: what `ingest` did to its files is done to these."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from longtail.data import jpeg
from longtail.data.preprocessing import Preprocessing
from longtail.errors import DataError
from longtail.network.snapshot import Blueprint
from longtail.sources.decoding import BadImageError, bounded_pillow, preprocess
from longtail.sources.limits import Limits
from longtail.sources.pixels import to_shape

Pixels = npt.NDArray[np.uint8]
LIMITS = Limits()


def from_file(content: bytes, blueprint: Blueprint) -> Pixels:
    """Pixels H×W×C from an encoded image.

    Raises BadImageError for what is none, and DataError if the model takes no files.
    """
    how = preprocessing(blueprint)
    try:
        with bounded_pillow(LIMITS):
            return preprocess(content, how)
    except BadImageError as error:
        if error.reason != "image too large":
            raise
        raise BadImageError(error.reason, f"more than {LIMITS.image_megapixels:g} megapixels; shrink it") from None


def from_array(image: npt.NDArray[np.generic], blueprint: Blueprint) -> Pixels:
    """Pixels H×W×C from those of one decoded image: uint8 of h×w, h×w×1, h×w×3 or, with transparency, h×w×4.

    What has the model's shape stays as it is. Raises BadImageError for anything else, and DataError if it has another
    size and the model takes no files.
    """
    if image.dtype != np.uint8:
        raise BadImageError("not an image", f"its pixels are {image.dtype}, not uint8 from 0 to 255")
    if image.shape == blueprint.image_shape:
        return np.ascontiguousarray(image, np.uint8)
    flat = image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image
    if not (flat.ndim == 2 or (flat.ndim == 3 and flat.shape[2] in (3, 4))) or not flat.size:
        raise BadImageError("not an image", f"an array of shape {image.shape}, not h×w or h×w×1, 3 or 4")
    how = preprocessing(blueprint)
    pixels = to_shape(Image.fromarray(np.ascontiguousarray(flat, np.uint8)), how.image_shape, how.fit)
    if how.jpeg_quality is None:
        return pixels
    return jpeg.decode(jpeg.encode(pixels, how.jpeg_quality), how.image_shape)


def preprocessing(blueprint: Blueprint) -> Preprocessing:
    """How the model's data became pixels. Raises DataError if it took more than an image's file."""
    if blueprint.preprocessing is None:
        shape = "×".join(map(str, blueprint.image_shape))
        raise DataError(
            "the model takes no image files, since its data set was made from more than those, such as landmarks: give "
            f"it uint8 arrays N×{shape}, made as its data set was"
        )
    return blueprint.preprocessing
