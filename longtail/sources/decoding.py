"""Encoded images to pixels, and what is wrong with those that cannot be decoded."""

import io
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from longtail.data import jpeg
from longtail.data.preprocessing import Fit, Preprocessing
from longtail.errors import DataError
from longtail.sources.collection import Pixels, Shape
from longtail.sources.deep_grey import DeepGrey
from longtail.sources.limits import Limits
from longtail.sources.pixels import RESAMPLING, flatten, to_shape
from longtail.sources.signatures import known_format

Key = TypeVar("Key")
EXIF = ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp")  # where Pillow keeps an image's EXIF


class BadImageError(Exception):
    """One image that cannot be read: the reason, for the count, and the decoder's message."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


def preprocess(data: bytes, how: Preprocessing) -> Pixels:
    """Pixels H×W×C of an encoded image, to the byte those that `PackedDataset.images` gives of it once ingested.

    Raises BadImageError as `decode`.
    """
    pixels = decode(data, how.image_shape, how.fit, DeepGrey(how.white))
    if how.jpeg_quality is None:
        return pixels
    return jpeg.decode(jpeg.encode(pixels, how.jpeg_quality), how.image_shape)


def decode(data: bytes, shape: Shape, fit: Fit = "stretch", deep_grey: DeepGrey | None = None) -> Pixels:
    """Pixels H×W×C of an encoded image: grey if C is 1, RGB if C is 3.

    The EXIF orientation is applied, transparency is laid over white, and the size is reached by bicubic resampling.
    Raises BadImageError for what is no image, broken, truncated or too large.
    """
    deep_grey = deep_grey or DeepGrey()
    with _opened(data, deep_grey) as image:
        return pixels_of(image, shape, fit, deep_grey)


def pixels_of(image: Image.Image, shape: Shape, fit: Fit, deep_grey: DeepGrey) -> Pixels:
    """Pixels H×W×C of an image that is opened, and may be decoded, as `decode` gives them of its bytes."""
    # A JPEG decoder can shrink by powers of two for free; twice the target leaves the resampling its quality.
    image.draft(None, (2 * max(shape), 2 * max(shape)))
    return to_shape(deep_grey.to_bytes(_upright(image)), shape, fit)


def decode_aligned(
    data: bytes,
    shape: Shape,
    points: npt.NDArray[np.float64],
    template: npt.NDArray[np.float64],
    deep_grey: DeepGrey,
) -> Pixels:
    """Pixels H×W×C of an image turned, scaled and shifted so that its `points` (p, 2; x and y in pixels) come as near
    as they can, in least squares, to `template` (p, 2; shares of width and height). What lies outside is black.

    Raises BadImageError as `decode`, and for points that are all one.
    """
    height, width, _ = shape
    # As complex numbers a similarity is z → a z + b: a line fitted through the points.
    target = (template * [width, height]) @ [1, 1j]
    source = points @ [1, 1j]
    centred = target - target.mean()
    a = (centred.conj() @ (source - source.mean())) / (centred.conj() @ centred)
    b = source.mean() - a * target.mean()
    if abs(a) < 1e-6:
        raise BadImageError("broken landmarks", "all of them are the same point")
    with _opened(data, deep_grey) as image:
        flat = flatten(deep_grey.to_bytes(image)).convert("L" if shape[2] == 1 else "RGB")
        # Sampled in a crop as fine as the image itself and then shrunk, so that nothing aliases.
        fine = max(1, math.ceil(abs(a)))
        step = a / fine
        coefficients = (step.real, -step.imag, b.real, step.imag, step.real, b.imag)
        crop = flat.transform((fine * width, fine * height), Image.Transform.AFFINE, coefficients, RESAMPLING)
        return to_shape(crop, shape)


def decode_grey(data: bytes, deep_grey: DeepGrey) -> Pixels:
    """Pixels H×W of an encoded image in grey, at its own size. Raises BadImageError as `decode`."""
    with _opened(data, deep_grey) as image:
        return np.array(flatten(deep_grey.to_bytes(image)).convert("L"))


def decode_own_size(data: bytes, channels: int, deep_grey: DeepGrey) -> Pixels:
    """Pixels H×W×C of an encoded image, upright and at its own size. Raises BadImageError as `decode`."""
    with _opened(data, deep_grey) as image:
        upright = _upright(image)
        return to_shape(deep_grey.to_bytes(upright), (upright.height, upright.width, channels))


def decode_whole(data: bytes, longest: int, deep_grey: DeepGrey) -> Image.Image:
    """An encoded image in RGB as people see it, its longer side at most `longest` pixels, with nothing but its pixels.

    Raises BadImageError as `decode`.
    """
    with _opened(data, deep_grey) as image:
        image.draft(None, (2 * longest, 2 * longest))
        whole = flatten(deep_grey.to_bytes(_upright(image))).convert("RGB")
        whole.thumbnail((longest, longest), RESAMPLING)
        return Image.fromarray(np.asarray(whole))  # Pillow would write comments and XMP of the old one into a new file


def read_bytes(read: Callable[[Key], bytes], key: Key) -> bytes:
    """The bytes that `read` gives. Raises BadImageError if the system or the archive does not give them."""
    try:
        return read(key)
    except OSError as error:
        raise BadImageError("unreadable file", error.strerror or str(error)) from error


@contextmanager
def bounded_pillow(limits: Limits) -> Iterator[None]:
    """Have Pillow refuse images of more pixels than allowed, before it decodes them, and keep its warnings back."""
    before = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        Image.MAX_IMAGE_PIXELS = limits.pixels
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


@contextmanager
def damage_reported() -> Iterator[None]:
    """Raise BadImageError for whatever goes wrong while an image is decoded.

    Pillow's decoders raise more kinds of exception on damaged files than it documents: NotImplementedError,
    RuntimeError, even AttributeError. None of them may end the run.
    """
    try:
        yield
    except (BadImageError, DataError):
        raise
    except UnidentifiedImageError:
        raise BadImageError("not an image", "its format is not recognised") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        detail = "more pixels than `limits.image_megapixels` allows; raise that if the image is right"
        raise BadImageError("image too large", detail) from None
    except Exception as error:
        reason = "truncated image" if "truncated" in str(error).lower() else "broken image"
        raise BadImageError(reason, str(error) or type(error).__name__) from error


@contextmanager
def _opened(data: bytes, deep_grey: DeepGrey) -> Iterator[Image.Image]:
    if not data:
        raise BadImageError("not an image", "the file is empty")
    with damage_reported(), _recognised(data) as image:
        deep_grey.look(image)
        yield image


@lru_cache(maxsize=1)
def _formats() -> list[str]:
    """What Pillow decodes by itself: of EPS it has Ghostscript run the program that the file is."""
    Image.init()
    return [name for name in Image.ID if name != "EPS"]


def _recognised(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=_formats())
    except UnidentifiedImageError:
        if name := known_format(data):
            raise BadImageError("format not read", f"{name} is not read: convert it to JPEG or PNG") from None
        raise


def _upright(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF orientation says."""
    image.load()
    try:
        image.getexif()
    except Exception:  # broken EXIF beside an intact picture: its orientation is not known
        return image
    # Pillow would write the other tags anew, and fails for some that cameras write: they are not needed any more.
    for key in EXIF:
        image.info.pop(key, None)
    ImageOps.exif_transpose(image, in_place=True)
    return image
