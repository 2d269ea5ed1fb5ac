"""The files of a directory, a zip or a tar, read in place; an archive is never extracted."""

import bz2
import gzip
import lzma
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from longtail.errors import DataError

LITTER = ("__MACOSX", "Thumbs.db", "desktop.ini")
COMPRESSED: dict[bytes, type[gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile]] = {
    b"\x1f\x8b": gzip.GzipFile,
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ": lzma.LZMAFile,
}


@dataclass(frozen=True)
class Files:
    """Files and folders by their path relative to `path`, with "/", sorted; hidden ones are not among them.

    `read` gives the bytes of a file and may be called from many threads.
    """

    path: Path
    names: list[str]
    folders: list[str]
    read: Callable[[str], bytes]

    def below(self, folder: str) -> "Files":
        """The files of one folder, by their path relative to it. Raises DataError if there is no such folder."""
        prefix = _normal(folder)
        if not prefix:
            return self
        prefix += "/"
        names = [name.removeprefix(prefix) for name in self.names if name.startswith(prefix)]
        folders = [name.removeprefix(prefix) for name in self.folders if name.startswith(prefix)]
        if not names and not folders and prefix[:-1] not in self.folders:
            raise DataError(f"no folder {folder!r} in {self.path}")
        return Files(self.path / folder, names, folders, lambda name: self.read(prefix + name))


def open_files(path: Path, scratch: Path) -> Files:
    """The files of a directory, .zip or .tar (compressed or not: a compressed tar is unpacked into `scratch`).

    Raises DataError if there is nothing there or it is none of these.
    """
    if path.is_dir():
        return _directory(path)
    if not path.is_file():
        raise DataError(f"no such file or directory: {path}; source paths are relative to the stage's data input")
    try:
        if zipfile.is_zipfile(path):
            return _zip(path)
        if tarfile.is_tarfile(path):
            return _tar(path, scratch)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: a broken archive ({error})") from error
    raise DataError(f"{path} is neither a directory nor a zip or tar archive")


def _directory(path: Path) -> Files:
    names, folders = [], []
    for parent, below, files in os.walk(path, followlinks=True):  # class folders are often links
        here = Path(parent).relative_to(path)
        names += [(here / name).as_posix() for name in files]
        folders += [(here / name).as_posix() for name in below]
    return Files(path, _visible(names), _visible(folders), lambda name: (path / name).read_bytes())


def _zip(path: Path) -> Files:
    archive = zipfile.ZipFile(path)
    entries = {_normal(entry.filename): entry for entry in archive.infolist() if not entry.is_dir()}
    folders = [_normal(entry.filename) for entry in archive.infolist() if entry.is_dir()]

    def read(name: str) -> bytes:
        try:
            return archive.read(entries[name])
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
            raise OSError(f"the archive's entry is broken: {error}") from error

    return Files(path, _visible(entries), _visible([*folders, *_parents(entries)]), read)


def _tar(path: Path, scratch: Path) -> Files:
    plain = _uncompressed(path, scratch)
    with tarfile.open(plain) as archive:
        members = archive.getmembers()
    places = {_normal(m.name): (m.offset_data, m.size) for m in members if m.isfile()}
    folders = [_normal(m.name) for m in members if m.isdir()]

    def read(name: str) -> bytes:
        offset, size = places[name]
        with plain.open("rb") as file:
            file.seek(offset)
            return file.read(size)

    return Files(path, _visible(places), _visible([*folders, *_parents(places)]), read)


def _uncompressed(path: Path, scratch: Path) -> Path:
    # Single files of a compressed stream can only be reached from its beginning, so it is inflated once.
    with path.open("rb") as file:
        start = file.read(8)
    for magic, inflate in COMPRESSED.items():
        if start.startswith(magic):
            plain = scratch / f"{path.name}.plain"
            with inflate(path) as source, plain.open("wb") as target:
                shutil.copyfileobj(source, target, 2**20)
            return plain
    return path


def _parents(names: Iterable[str]) -> set[str]:
    return {parent.as_posix() for name in names for parent in PurePosixPath(name).parents if parent.name}


def _normal(name: str) -> str:
    plain = PurePosixPath(name).as_posix()
    return "" if plain == "." else plain


def _visible(names: Iterable[str]) -> list[str]:
    return sorted({name for name in names if name and not any(map(_hidden, name.split("/")))})


def _hidden(part: str) -> bool:
    return part.startswith(".") or part in LITTER
