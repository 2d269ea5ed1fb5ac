"""The images that people decided on, from their files, as a packed data set keeps them."""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from longtail.bootstrapping.verdicts import Verdict
from longtail.data import jpeg
from longtail.data.dataset import PackedDataset
from longtail.data.jpeg import Pixels
from longtail.data.preprocessing import Preprocessing
from longtail.data.shards import Block, Ints
from longtail.errors import DataError
from longtail.labelling.queue import LONGEST
from longtail.sources.decoding import bounded_pillow, decode, preprocess
from longtail.sources.deep_grey import DeepGrey
from longtail.sources.files import read_regular
from longtail.sources.limits import Limits
from longtail.sources.quoting import shown

BLOCK = 256  # images that are in memory at a time


def takes_files(packed: PackedDataset) -> Preprocessing:
    """How a file becomes an image of the data set. Raises DataError if that took more than the file."""
    if packed.info.preprocessing is None:
        raise DataError(
            f"{shown(packed.path, LONGEST)} was made from more than image files, such as landmarks, so none can be "
            "added to it; start from a data set of image files"
        )
    return packed.info.preprocessing


def pixel_digests(packed: PackedDataset, rows: Ints) -> set[bytes]:
    """Of each image of those rows the SHA-256 of its pixels."""
    blocks = (packed.images(rows[start : start + BLOCK]) for start in range(0, len(rows), BLOCK))
    return {pixel_digest(image) for block in blocks for image in block}


def pixel_digest(pixels: Pixels) -> bytes:
    """The SHA-256 of the pixels of an image."""
    return hashlib.sha256(pixels.tobytes()).digest()


def without_known(
    found: Iterable[Verdict],
    known: Collection[bytes],
    files: Mapping[str, Path],
    how: Preprocessing,
    rejected: Collection[bytes],
) -> list[tuple[Verdict, bytes]]:
    """The verdicts on images whose pixels are not among the `known` digests, one for each, with its digest and in their
    order: the first yes, or where there is none the first no. Of what is among the `rejected` a yes is new, and a no is
    not. Raises DataError if people said yes to two classes of the same pixels.
    """
    given = list(found)
    digests = []
    for verdict in given:
        with bounded_pillow(Limits()):
            digests.append(pixel_digest(preprocess(_content(verdict, files), how)))
    first: dict[bytes, int] = {}
    # The order of digests is no order in time: a yes takes the place of a no, whichever comes first.
    for place in sorted(range(len(given)), key=lambda place: not given[place].accepted):
        verdict, key = given[place], digests[place]
        if key in known or (key in rejected and not verdict.accepted):
            continue
        before = given[first.setdefault(key, place)]
        if verdict.accepted and verdict.name != before.name:
            raise DataError(
                f"{shown(before.source, LONGEST)} and {shown(verdict.source, LONGEST)} have the same pixels, and are "
                f"accepted as {shown(before.name)!r} and as {shown(verdict.name)!r}; decide one of them anew"
            )
    return [(given[place], digests[place]) for place in sorted(first.values())]


def stored(added: Sequence[Verdict], files: Mapping[str, Path], how: Preprocessing) -> Iterator[Block]:
    """The images of the verdicts as `ingest` would store them, in blocks."""
    for start in range(0, len(added), BLOCK):
        with bounded_pillow(Limits()):
            decoded = [_decoded(verdict, files, how) for verdict in added[start : start + BLOCK]]
        if how.jpeg_quality is None:
            yield np.stack(decoded)
        else:
            yield [jpeg.encode(pixels, how.jpeg_quality) for pixels in decoded]


def _decoded(verdict: Verdict, files: Mapping[str, Path], how: Preprocessing) -> Pixels:
    return decode(_content(verdict, files), how.image_shape, how.fit, DeepGrey(how.white))


def _content(verdict: Verdict, files: Mapping[str, Path]) -> bytes:
    """The bytes of a verdict's image. Raises DataError if there is no file any more that has what people saw."""
    try:
        content = read_regular(str(files[verdict.item]), Limits())
        if hashlib.sha256(content).hexdigest() == verdict.item:
            return content
    except (KeyError, OSError):
        pass
    raise DataError(
        f"{shown(verdict.source, LONGEST)} was decided on, and is not in the pool any more as it was (SHA-256 "
        f"{verdict.item[:12]}…); put it back, the decision is kept"
    )
