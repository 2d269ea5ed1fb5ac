"""Images as people see them: JPEGs of the queue, without anything that a camera or a folder says of them."""

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from longtail.inference.pixels import LIMITS
from longtail.sources.decoding import bounded_pillow, decode_whole
from longtail.sources.deep_grey import DeepGrey

LONGEST_SIDE = 1024
QUALITY = 88


def write_picture(content: bytes, file: Path, white: float | None) -> None:
    """Write an encoded image as people see it; `white` as in Preprocessing. Raises BadImageError as `decode`."""
    with bounded_pillow(LIMITS):
        image = decode_whole(content, LONGEST_SIDE, DeepGrey(white))
    _write(image, file)


def write_pixels(pixels: npt.NDArray[np.uint8], file: Path) -> None:
    """Write the pixels H×W×C of a packed data set."""
    _write(_image(pixels), file)


def png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Pixels H×W×C as an encoded image, the same bytes for the same pixels."""
    content = io.BytesIO()
    _image(pixels).save(content, "PNG")
    return content.getvalue()


def _image(pixels: npt.NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def _write(image: Image.Image, file: Path) -> None:
    image.save(file, "JPEG", quality=QUALITY, optimize=True)
