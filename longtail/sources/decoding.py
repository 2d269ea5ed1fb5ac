"""Image files to pixels of one shape: decoded in parallel, kept on disk until all of them are known to be good."""

import io
import math
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from longtail.sources.collection import Bools, Pixels, Request, Shape
from longtail.sources.files import Files
from longtail.sources.parallel import ordered_map, spans

Fit = Literal["stretch", "crop", "pad"]
"""How an image of another aspect ratio gets the asked one: distorted, cut at the middle, or on a black ground."""

RESAMPLING = Image.Resampling.BICUBIC  # Pillow widens its support when it shrinks, so this is free of aliasing
BLOCK = 256

# What Pillow's decoders raise on damaged files.
DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    OverflowError,
    TypeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


class BadImageError(Exception):
    """One image that cannot be read: the reason, for the count, and the decoder's message."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


def decode(data: bytes, shape: Shape, fit: Fit = "stretch") -> Pixels:
    """Pixels H×W×C of an encoded image: grey if C is 1, RGB if C is 3.

    The EXIF orientation is applied, transparency is laid over white, and the size is reached by bicubic resampling.
    Raises BadImageError for what is no image, broken or truncated.
    """
    with _opened(data) as image:
        # A JPEG decoder can shrink by powers of two for free; twice the target leaves the resampling its quality.
        image.draft(None, (2 * max(shape), 2 * max(shape)))
        return to_shape(ImageOps.exif_transpose(image), shape, fit)


def decode_aligned(
    data: bytes, shape: Shape, points: npt.NDArray[np.float64], template: npt.NDArray[np.float64]
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
    with _opened(data) as image:
        flat = _flatten(image).convert("L" if shape[2] == 1 else "RGB")
        # Sampled in a crop as fine as the image itself and then shrunk, so that nothing aliases.
        fine = max(1, math.ceil(abs(a)))
        step = a / fine
        coefficients = (step.real, -step.imag, b.real, step.imag, step.real, b.imag)
        crop = flat.transform((fine * width, fine * height), Image.Transform.AFFINE, coefficients, RESAMPLING)
        return to_shape(crop, shape)


def decode_grey(data: bytes) -> Pixels:
    """Pixels H×W of an encoded image in grey, at its own size. Raises BadImageError as `decode`."""
    with _opened(data) as image:
        return np.array(_flatten(image).convert("L"))


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    try:
        with Image.open(io.BytesIO(data)) as image:
            yield image
    except UnidentifiedImageError:
        raise BadImageError("not an image", "its format is not recognised" if data else "the file is empty") from None
    except DAMAGE as error:
        reason = "truncated image" if "truncated" in str(error).lower() else "broken image"
        raise BadImageError(reason, str(error)) from error


def has_image_suffix(name: str) -> bool:
    """Whether a file's name says that it is an image: what tells a stray photograph from a README."""
    return PurePosixPath(name).suffix.lower() in Image.registered_extensions()


def to_shape(image: Image.Image, shape: Shape, fit: Fit = "stretch") -> Pixels:
    """Pixels H×W×C of a decoded image, as in `decode`."""
    height, width, channels = shape
    image = _flatten(image).convert("L" if channels == 1 else "RGB")
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


def spool(read: Callable[[int], Pixels], places: list[str], request: Request) -> tuple[Pixels, Bools]:
    """Call `read(i)` for every place in parallel; give the pixels n×H×W×C, memory-mapped, and which are good.

    A BadImageError is added to the request's problems and does not stop the others. The pixels wait in a temporary
    file, because a packed dataset can only be written once it is known which samples are in it.
    """
    shape = (len(places), *request.image_shape)
    if not places:
        return np.empty(shape, np.uint8), np.empty(0, bool)
    pixels = np.lib.format.open_memmap(request.scratch / "decoded.npy", mode="w+", dtype=np.uint8, shape=shape)
    good = np.zeros(len(places), bool)

    def read_block(rows: slice) -> list[BadImageError | None]:
        return [_read_into(pixels, i, read) for i in range(rows.start, rows.stop)]

    blocks = spans(len(places), max(1, min(BLOCK, len(places) // (4 * request.workers))))
    results = ordered_map(read_block, blocks, workers=request.workers, title="decoding")
    for i, error in enumerate(error for block in results for error in block):
        good[i] = error is None
        if error is not None:
            request.problems.add(error.reason, places[i], error.detail)
    return pixels, good


def spool_files(files: Files, names: list[str], places: list[str], request: Request, fit: Fit) -> tuple[Pixels, Bools]:
    """`spool` for the images of those names; `places` is how the user is told of each."""

    def read(i: int) -> Pixels:
        return decode(read_bytes(files, names[i]), request.image_shape, fit)

    return spool(read, places, request)


def read_bytes(files: Files, name: str) -> bytes:
    """The bytes of a file. Raises BadImageError if the system or the archive does not give them."""
    try:
        return files.read(name)
    except OSError as error:
        raise BadImageError("unreadable file", str(error)) from error


def blocks(pixels: Pixels, keep: Bools) -> Iterator[Pixels]:
    """Yield the kept rows in order, in blocks of bounded size."""
    for rows in spans(len(pixels), BLOCK):
        yield pixels[rows][keep[rows]]


def _read_into(pixels: Pixels, i: int, read: Callable[[int], Pixels]) -> BadImageError | None:
    try:
        pixels[i] = read(i)
    except BadImageError as error:
        return error
    return None


def _flatten(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        # Pillow clips 16-bit grey at 255; its high byte is the picture.
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode!r} have no defined range; save it with 8 or 16 bits")
    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
