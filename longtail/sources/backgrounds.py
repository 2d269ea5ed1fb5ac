"""Natural images as backgrounds, read from a directory or an archive."""

from fnmatch import fnmatch
from pathlib import Path

from pydantic import BaseModel, Field

from longtail.errors import DataError
from longtail.sources.collection import Pixels, Request
from longtail.sources.decoding import BadImageError, bounded_pillow, decode_grey, read_bytes
from longtail.sources.files import open_files
from longtail.sources.parallel import ordered_map
from longtail.sources.rotback import Photographs


class Backgrounds(BaseModel, extra="forbid"):
    """The images that match `pattern` in a directory, zip or tar; their patches are chosen as in `Photographs`."""

    path: str = Field(description="a directory, zip or tar of photographs")
    pattern: str = "*"
    min_deviation: float = Field(15.0, ge=0, description="of a patch's grey levels, the least standard deviation")
    max_brightness: float = Field(180.0, ge=0, description="of a patch's grey levels, the greatest mean")


def read_photographs(root: Path, backgrounds: Backgrounds, request: Request) -> Photographs:
    """Read them in grey, into memory. A bad image is a problem; raises DataError if none matches the pattern."""
    files = open_files(root / backgrounds.path, request)
    names = [name for name in files.names if fnmatch(name, backgrounds.pattern)]
    if not names:
        raise DataError(f"no file in {files.path} matches the pattern {backgrounds.pattern!r}")

    def read(name: str) -> Pixels | BadImageError:
        try:
            return decode_grey(read_bytes(files.read, name), request.deep_grey)
        except BadImageError as error:
            return error

    with bounded_pillow(request.limits):
        found = list(ordered_map(read, names, workers=request.workers, title="backgrounds"))
    request.deep_grey.check()
    images = []
    for name, image in zip(names, found, strict=True):
        if isinstance(image, BadImageError):
            request.problems.add(image.reason, f"{files.path}/{name}", image.detail)
        else:
            images.append(image)
    return Photographs(images, backgrounds.min_deviation, backgrounds.max_brightness)
