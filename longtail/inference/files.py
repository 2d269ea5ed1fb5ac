"""Image files and folders of them, one after the other: the pixels of each, or why there are none."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from longtail.errors import DataError
from longtail.inference.pixels import Pixels, from_file
from longtail.network.snapshot import Blueprint
from longtail.sources.collection import Request
from longtail.sources.decoding import BadImageError
from longtail.sources.files import is_note, open_files, read_regular
from longtail.sources.limits import Limits
from longtail.sources.quoting import shown

LONGEST = 240  # characters of a path or a reason in a message


class Picture(NamedTuple):
    """A file by the path that it was asked for with, and its pixels H×W×C or, where it has none, what is wrong.

    `content`: its bytes, where they were asked to be kept.
    """

    path: str
    pixels: Pixels | None = None
    fault: str | None = None
    content: bytes = b""


def pictures(paths: list[Path], blueprint: Blueprint, *, keep: bool = False) -> Iterator[Picture]:
    """Of each path the file, or the files of the folder and of all folders in it, in the order of their names.

    In folders texts, tables and hidden files are passed over, as `ingest` does. Whatever else is no image has a fault.
    `keep`: with their bytes.
    """
    for path in paths:
        if path.is_dir():
            yield from _in_folder(path, blueprint, keep)
        else:
            yield _picture(partial(read_regular, str(path), Limits()), str(path), blueprint, keep)


def _in_folder(folder: Path, blueprint: Blueprint, keep: bool) -> Iterator[Picture]:
    try:
        files = open_files(folder, Request(blueprint.image_shape, folder))
    except (DataError, OSError) as error:
        yield Picture(str(folder), fault=shown(error, LONGEST))
        return
    names = sorted({*(name for name in files.names if not is_note(name)), *files.faults})
    if not names:
        yield Picture(str(folder), fault="a folder without images")
    for name in names:
        place = f"{folder}/{name}"
        if name in files.faults:
            yield Picture(place, fault=shown(files.faults[name], LONGEST))
        else:
            yield _picture(partial(files.read, name), place, blueprint, keep)


def _picture(read: Callable[[], bytes], place: str, blueprint: Blueprint, keep: bool) -> Picture:
    try:
        content = read()
        return Picture(place, from_file(content, blueprint), content=content if keep else b"")
    except BadImageError as error:
        return Picture(place, fault=shown(f"{error.reason}: {error.detail}", LONGEST))
    except OSError as error:
        return Picture(place, fault=shown(error.strerror or error, LONGEST))
