"""Images decoded in parallel, and kept on disk until all of them are known to be good."""

from collections.abc import Callable, Iterator

import numpy as np

from longtail.data.preprocessing import Fit
from longtail.sources.collection import Bools, Pixels, Request
from longtail.sources.decoding import BadImageError, bounded_pillow, decode, read_bytes
from longtail.sources.files import Files
from longtail.sources.parallel import ordered_map, spans

BLOCK = 256


def spool(read: Callable[[int], Pixels], places: list[str], request: Request) -> tuple[Pixels, Bools]:
    """Call `read(i)` for every place in parallel; give the pixels n×H×W×C, memory-mapped, and which are good.

    A BadImageError is added to the request's problems and does not stop the others. The pixels wait in a temporary
    file, because a packed dataset can only be written once it is known which samples are in it. Raises DataError before
    the first call if there are problems that end the run.
    """
    request.problems.stop_before_decoding()
    shape = (len(places), *request.image_shape)
    if not places:
        return np.empty(shape, np.uint8), np.empty(0, bool)
    pixels = np.lib.format.open_memmap(request.scratch / "decoded.npy", mode="w+", dtype=np.uint8, shape=shape)
    good = np.zeros(len(places), bool)

    def read_block(rows: slice) -> list[BadImageError | None]:
        return [_read_into(pixels, i, read) for i in range(rows.start, rows.stop)]

    blocks = spans(len(places), max(1, min(BLOCK, len(places) // (4 * request.workers))))
    with bounded_pillow(request.limits):
        results = ordered_map(read_block, blocks, workers=request.workers, title="decoding")
        for i, error in enumerate(error for block in results for error in block):
            good[i] = error is None
            if error is not None:
                request.problems.add(error.reason, places[i], error.detail)
    request.deep_grey.check()
    return pixels, good


def spool_files(files: Files, names: list[str], places: list[str], request: Request, fit: Fit) -> tuple[Pixels, Bools]:
    """`spool` for the images of those names; `places` is how the user is told of each."""

    def read(i: int) -> Pixels:
        return decode(read_bytes(files.read, names[i]), request.image_shape, fit, request.deep_grey)

    return spool(read, places, request)


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
