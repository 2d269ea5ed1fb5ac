"""Images decoded in parallel, and kept on disk until all of them are known to be good."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from longtail.data import jpeg
from longtail.data.preprocessing import Fit
from longtail.data.shards import Block
from longtail.sources.collection import Bools, Ints, Pixels, Request
from longtail.sources.decoding import BadImageError, bounded_pillow, decode, read_bytes
from longtail.sources.files import Files
from longtail.sources.parallel import ordered_map, spans

BLOCK = 256
BLOCK_BYTES = 32 * 2**20


@dataclass(frozen=True)
class Spool:
    """Images in temporary files, one a span of rows, as shards will hold them: their pixels, or JPEGs of a `quality`.

    `lengths`: the bytes of each image, 0 for a bad one.
    """

    folder: Path
    shape: tuple[int, int, int]
    quality: int | None
    spans: list[slice]
    lengths: Ints

    def file(self, rows: slice) -> Path:
        """Where the images of a span are."""
        return self.folder / f"decoded-{rows.start}"

    def write(self, rows: slice, read: Callable[[int], Pixels]) -> list[BadImageError | None]:
        """Keep `read(i)` for those rows; what is wrong with each."""
        errors: list[BadImageError | None] = []
        with self.file(rows).open("wb") as file:
            for i in range(rows.start, rows.stop):
                try:
                    pixels = read(i)
                except BadImageError as error:
                    errors.append(error)
                    continue
                errors.append(None)
                data = pixels.tobytes() if self.quality is None else jpeg.encode(pixels, self.quality)
                self.lengths[i] = file.write(data)
        return errors

    def take(self, rows: slice, keep: Bools) -> Block:
        """Remove the file of a span and return its images that are to be kept, all of them good."""
        data = self.file(rows).read_bytes()
        self.file(rows).unlink()
        lengths = self.lengths[rows]
        if self.quality is None:
            return np.frombuffer(data, np.uint8).reshape(-1, *self.shape)[keep[lengths > 0]]
        ends = np.cumsum(lengths)
        return [data[ends[i] - lengths[i] : ends[i]] for i in np.flatnonzero(keep)]


def spool(read: Callable[[int], Pixels], places: list[str], request: Request) -> tuple[Spool, Bools]:
    """Call `read(i)` for every place in parallel; give where the images are kept, and which are good.

    A BadImageError is added to the request's problems and does not stop the others. The images wait in temporary files,
    because a packed dataset can only be written once it is known which samples are in it. Raises DataError before the
    first call if there are problems that end the run.
    """
    request.problems.stop_before_decoding()
    span = min(BLOCK, len(places) // (4 * request.workers), BLOCK_BYTES // int(np.prod(request.image_shape)))
    rows = spans(len(places), max(1, span))
    kept = Spool(request.scratch, request.image_shape, request.jpeg_quality, rows, np.zeros(len(places), np.int64))
    with bounded_pillow(request.limits):
        write = lambda rows: kept.write(rows, read)  # noqa: E731
        results = ordered_map(write, kept.spans, workers=request.workers, title="decoding")
        for i, error in enumerate(error for block in results for error in block):
            if error is not None:
                request.problems.add(error.reason, places[i], error.detail)
    request.deep_grey.check()
    return kept, kept.lengths > 0


def spool_files(files: Files, names: list[str], places: list[str], request: Request, fit: Fit) -> tuple[Spool, Bools]:
    """`spool` for the images of those names; `places` is how the user is told of each."""

    def read(i: int) -> Pixels:
        return decode(read_bytes(files.read, names[i]), request.image_shape, fit, request.deep_grey)

    return spool(read, places, request)


def blocks(kept: Spool, keep: Bools) -> Iterator[Block]:
    """Yield the rows to keep, all of them good, in order and in blocks of bounded size.

    What is yielded is no longer in the spool: so images do not lie on the disk twice.
    """
    for rows in kept.spans:
        yield kept.take(rows, keep[rows])
