"""JPEG, in which the pixels of a packed data set may be kept."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

LONGEST_SIDE = 65_500  # pixels; what the encoder takes

Pixels = npt.NDArray[np.uint8]


def encode(pixels: Pixels, quality: int) -> bytes:
    """The JPEG of an image H×W×C: grey if C is 1, RGB if C is 3. The same pixels give the same bytes.

    The colours are kept as fine as the brightness (4:4:4): half of that is too coarse for the edges of small images.
    """
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    data = io.BytesIO()
    image.save(data, "JPEG", quality=quality, subsampling="4:4:4")
    return data.getvalue()


def decode(data: bytes | memoryview, shape: tuple[int, int, int]) -> Pixels:
    """The pixels of a JPEG of `shape` (H, W, C). Raises ValueError if it is damaged, or of another shape."""
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            pixels = np.asarray(image)
    except UnidentifiedImageError:
        raise ValueError("no JPEG") from None
    except Exception as error:  # Pillow raises more kinds than it documents
        raise ValueError(f"a broken JPEG ({error})") from error
    if pixels.size != np.prod(shape) or pixels.shape[:2] != shape[:2]:
        raise ValueError(f"a JPEG of another shape, {pixels.shape}")
    return pixels.reshape(shape)
