"""Whatever a caller of the served model gives, to one batch of pixels: files in several guises, and arrays."""

import base64
import binascii
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from longtail.errors import DataError
from longtail.inference.pixels import LIMITS, Pixels, from_array, from_file
from longtail.network.snapshot import Blueprint
from longtail.sources.decoding import BadImageError
from longtail.sources.files import read_regular
from longtail.sources.quoting import shown

LONGEST_PATH = 4096
SHOWN = 5  # images that a refusal names
TAKEN = "a uint8 array N×H×W×C, or a list, a Series or a column of files' bytes, base64, paths, or uint8 arrays h×w×c"


def batch(images: Any, blueprint: Blueprint) -> Pixels:
    """uint8 N×H×W×C as the model sees it; N may be 0. `images`: see TAKEN.

    Integers from 0 to 255 do as uint8, since JSON knows no bytes. Raises DataError for anything else, in a sentence
    that quotes no pixels.
    """
    items = _items(images)
    if isinstance(items, np.ndarray) and items.ndim == 4:
        return _of_array(_as_bytes(items), blueprint)
    pixels, faults = np.empty((len(items), *blueprint.image_shape), np.uint8), []
    for place, item in enumerate(items):
        try:
            pixels[place] = _of_item(item, blueprint)
        except BadImageError as error:
            faults.append(f"image {place}: {shown(f'{error.reason}: {error.detail}', 240)}")
        except DataError as error:
            faults.append(f"image {place}: {shown(str(error), 240)}")
    if faults:
        more = f", and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise DataError(f"{len(faults)} of {len(items)} images cannot be read: {'; '.join(faults[:SHOWN])}{more}")
    return pixels


def _items(images: Any) -> Any:
    """The images one by one, or an array of all."""
    if isinstance(images, dict):
        images = _only(list(images), lambda name: images[name])
    elif hasattr(images, "columns"):  # a DataFrame: pandas is not loaded for the others
        images = _only(list(images.columns), lambda name: images[name].tolist())
    if isinstance(images, (bytes, bytearray, memoryview, str, Path)):
        return [images]
    if isinstance(images, np.ndarray):
        return _of_dimensions(images)
    if not isinstance(images, Iterable):
        raise DataError(f"the images are {shown(type(images).__name__)}; give {TAKEN}")
    items = list(images)
    if items and _is_row(items[0]):
        raise DataError("the list is one image h×w×c; a batch is a list of images, also of a single one")
    return items


def _is_row(item: Any) -> bool:
    """Whether a list is a row of pixels with their channels; a grey image, which it could be too, is wider."""
    pixel = item[0] if isinstance(item, list) and item else None
    return isinstance(pixel, list) and len(pixel) in (1, 3, 4) and not isinstance(pixel[0], list)


def _only(names: list[Any], column: Callable[[Any], Any]) -> Any:
    """The column "image", or the only one there is."""
    if len(names) != 1 and names.count("image") != 1:
        called = "several are" if "image" in names else "none is"
        raise DataError(f"of {len(names)} columns {called} called 'image'; give one column of images")
    return column(names[0] if len(names) == 1 else "image")


def _of_dimensions(images: npt.NDArray[Any]) -> Any:
    if images.dtype.kind in "OSU" and images.ndim <= 2 and images.size == len(np.atleast_1d(images)):
        return images.ravel().tolist()
    if images.ndim != 4 and not (images.ndim and len(images) == 0):
        raise DataError(
            f"the array has the shape {shown(images.shape)}; a batch is N×H×W×C, also of one or grey images"
        )
    return images


def _of_array(images: Pixels, blueprint: Blueprint) -> Pixels:
    if images.shape[1:] == blueprint.image_shape:
        return np.require(images, requirements=["C", "W"])  # torch reads none backwards, and warns of what is read-only
    try:
        pixels = [from_array(image, blueprint) for image in images]
    except BadImageError as error:
        raise DataError(f"{error.reason}: {shown(error.detail)}; give {TAKEN}") from None
    return np.stack(pixels) if pixels else np.empty((0, *blueprint.image_shape), np.uint8)


def _as_bytes(images: npt.NDArray[Any]) -> Pixels:
    if not images.size or (images.dtype.kind in "iu" and images.min() >= 0 and images.max() <= 255):
        return images.astype(np.uint8, copy=False)
    raise DataError(f"the pixels are {shown(images.dtype)}, not uint8 from 0 to 255; convert them")


def _of_item(item: Any, blueprint: Blueprint) -> Pixels:
    if isinstance(item, (bytes, bytearray, memoryview)):
        return from_file(bytes(item), blueprint)
    if isinstance(item, (str, Path)):
        return from_file(_content(item), blueprint)
    try:
        image = np.asarray(item)
    except ValueError:  # rows of different lengths
        raise BadImageError("not an image", "its rows are not equally long") from None
    if image.dtype.kind in "iu":
        image = _as_bytes(image)
    if image.dtype.kind in "OSUM" or not image.ndim:
        raise BadImageError("not an image", f"a {shown(type(item).__name__)}")
    return from_array(image, blueprint)


def _content(text: str | Path) -> bytes:
    """The bytes that a text stands for: base64, also as a data address, or those of the file at that path."""
    content = None if isinstance(text, Path) else _from_base64(text)
    if content is not None and not os.path.isfile(text):  # unlike Path.is_file, also of texts that no path can be
        return content
    if len(str(text)) > LONGEST_PATH:
        raise BadImageError("not an image", f"a text of {len(str(text))} characters that is no base64")
    try:
        return read_regular(str(text), LIMITS)
    except (OSError, ValueError) as error:  # a path with a null character is a ValueError
        why = getattr(error, "strerror", None) or str(error)
        raise BadImageError("neither base64 nor a file", f"{shown(str(text), 60)}: {why}") from None


def _from_base64(text: str) -> bytes | None:
    start = text.find("base64,", 0, 100) + len("base64,") if text.startswith("data:") else 0
    try:
        return base64.b64decode("".join(text[start:].split()), validate=True)
    except (binascii.Error, ValueError):
        return None
