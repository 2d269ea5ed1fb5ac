"""The files of a directory, a zip or a tar, or of a folder inside one, read in place."""

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import TypeVar

from PIL import Image

from longtail.errors import DataError
from longtail.sources.archives import open_archive
from longtail.sources.collection import Request
from longtail.sources.limits import Limits
from longtail.sources.problems import Problems
from longtail.sources.quoting import printable, shown
from longtail.sources.tree import Entry, walk

Found = TypeVar("Found")
KINDS = {
    stat.S_IFIFO: "a pipe, no regular file",
    stat.S_IFSOCK: "a socket, no regular file",
    stat.S_IFCHR: "a device, no regular file",
    stat.S_IFBLK: "a device, no regular file",
}

# Files that come with images: lists, annotations, readmes.
NOTES = (
    ".csv",
    ".tsv",
    ".txt",
    ".md",
    ".json",
    ".jsonl",
    ".xml",
    ".yaml",
    ".yml",
    ".html",
    ".htm",
    ".log",
    ".ini",
    ".pdf",
)


@dataclass(frozen=True)
class Files:
    """Files and folders by their path relative to `path`, with "/", sorted; hidden ones are not among them.

    `read` gives the bytes of a file and may be called from many threads. `faults` says of every other entry, a device
    or a link that leads nowhere, what it is.
    """

    path: Path
    names: list[str]
    folders: list[str]
    faults: dict[str, str]
    read: Callable[[str], bytes]

    def below(self, folder: str) -> "Files":
        """The files of one folder, by their path relative to it."""
        prefix = f"{folder}/"

        def inside(names: Iterable[str]) -> list[str]:
            return [name.removeprefix(prefix) for name in names if name.startswith(prefix)]

        faults = {name: self.faults[prefix + name] for name in inside(self.faults)}
        read = lambda name: self.read(prefix + name)  # noqa: E731
        return Files(self.path / folder, inside(self.names), inside(self.folders), faults, read)

    def wrapping(self) -> str | None:
        """The one folder that holds all images: archives often wrap their content in a folder of their own name."""
        tops = [name for name in self.folders if "/" not in name]
        alone = len(tops) == 1 and not any("/" not in name and has_image_suffix(name) for name in self.names)
        return tops[0] if alone else None

    def report_faults(self, problems: Problems, ignore: Iterable[str] = ()) -> None:
        """Add every fault, except those whose name matches a pattern of `ignore`, to the problems."""
        for name, fault in self.faults.items():
            if not matches(name, ignore):
                problems.add("unreadable entry", f"{self.path}/{name}", fault)


def has_image_suffix(name: str) -> bool:
    """Whether a file's name says that it is an image: what tells a stray photograph from a README."""
    return suffix(name) in _image_suffixes()


def is_note(name: str) -> bool:
    """Whether a file's name says that it comes with images and is none: a list, annotations, a readme."""
    return suffix(name) in NOTES


def suffix(name: str) -> str:
    """The ending of a file's name, as `.jpg`."""
    return os.path.splitext(name)[1].lower()


@cache
def _image_suffixes() -> frozenset[str]:
    return frozenset(ending for ending, kind in Image.registered_extensions().items() if kind in Image.OPEN)


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a path matches one of the patterns, in which `*` stands for any characters, "/" too."""
    return any(fnmatch(name, pattern) for pattern in patterns)


def open_files(path: Path, request: Request) -> Files:
    """The files of a directory, of a .zip or .tar (compressed or not), or of a folder inside one of these.

    Raises DataError if there is nothing there or it is none of these.
    """
    check_there(path)
    outer, inner = _in_file_system(path)
    if outer.is_dir():
        return _directory(path, request.limits)
    archive = open_archive(outer, request)
    if archive is None:
        raise DataError(f"{outer} is neither a directory nor a zip or tar archive")
    members, read = archive
    start = members.resolve(inner)
    if start not in members.folders:
        raise DataError(f"no folder {inner!r} in {outer}")
    found = walk(f"/{start}".rstrip("/") or "/", members.children)
    faults = found.faults | {printable(name): fault for name, fault in members.outside.items()}
    return Files(path, sorted(found.files), sorted(found.folders), faults, lambda name: read(found.files[name]))


def check_there(path: Path) -> None:
    """Raise DataError if there is neither a file or directory, nor a file that may be an archive with such a folder."""
    outer, inner = _in_file_system(path)
    if inner if outer.is_dir() else not outer.is_file():
        raise DataError(f"{_missing(path)}: {shown(path)}; source paths are relative to the stage's data input")


def through_wrapping(path: Path, request: Request, find: Callable[[Path], Found | None]) -> tuple[Path, Found] | None:
    """What `find` finds in a folder, or in the one folder that is around everything there; and where that was."""
    while (found := find(path)) is None:
        top = open_files(path, request).wrapping()
        if top is None:
            return None
        path = path / top
    return path, found


def read_file(path: Path, request: Request) -> bytes | None:
    """The bytes of a file, which may be inside an archive; None if there is none. Raises DataError if it is too large
    or no regular file.
    """
    outer, inner = _in_file_system(path)
    try:
        if not inner and not outer.is_dir():
            return read_regular(str(outer), request.limits)
        if not outer.is_file():
            return None
        files = open_files(path.parent, request)
        return files.read(path.name) if path.name in files.names else None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def read_regular(path: str, limits: Limits) -> bytes:
    """The bytes of a regular file. Raises OSError if it is none, or too large."""
    # Without waiting: to open a pipe would wait for its other end.
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(KINDS.get(stat.S_IFMT(status.st_mode), "no regular file"))
        limits.check_file(status.st_size)
        return file.read()


def _directory(path: Path, limits: Limits) -> Files:
    found = walk(os.path.realpath(path), _children)
    names = sorted(found.files)
    return Files(path, names, sorted(found.folders), found.faults, lambda name: read_regular(found.files[name], limits))


def _children(folder: str) -> Iterator[Entry]:
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                yield _entry(entry)
            except OSError as error:  # links in a circle, or into a folder that may not be read
                yield Entry(entry.name, "fault", f"{error.strerror}")


def _entry(entry: "os.DirEntry[str]") -> Entry:
    if entry.is_dir():
        if entry.is_symlink():
            return Entry(entry.name, "link to a folder", os.path.realpath(entry.path))
        return Entry(entry.name, "folder", entry.path)
    if entry.is_file():
        return Entry(entry.name, "file", entry.path)
    return Entry(entry.name, "fault", _missing(Path(entry.path)))


def _missing(path: Path) -> str:
    """Why there is no file at a path."""
    try:
        return KINDS.get(stat.S_IFMT(path.stat().st_mode), "no regular file")
    except (FileNotFoundError, NotADirectoryError):
        return "a link to nothing" if path.is_symlink() else "no such file or directory"
    except OSError as error:
        return f"{error.strerror}"


def _in_file_system(path: Path) -> tuple[Path, str]:
    """The part of a path that the file system has, and what comes after it: a path inside an archive."""
    for outer in (path, *path.parents):
        if outer.exists() or outer.is_symlink():
            return outer, "" if outer == path else path.relative_to(outer).as_posix()
    return path, ""
