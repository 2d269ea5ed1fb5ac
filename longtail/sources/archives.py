"""Zip and tar archives, read in place: none is ever extracted."""

import bz2
import gzip
import hashlib
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from longtail.errors import DataError
from longtail.sources.collection import Request
from longtail.sources.limits import Limits
from longtail.sources.members import Members
from longtail.sources.quoting import shown

COMPRESSED: dict[bytes, type[gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile]] = {
    b"\x1f\x8b": gzip.GzipFile,
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ": lzma.LZMAFile,
}
BROKEN = (
    *(OSError, EOFError, ValueError, RuntimeError, LookupError, OverflowError),
    *(struct.error, zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile),
)
LONGEST_TARGET = 4096  # bytes of a link's target, as on Linux
DOS = 0  # the system of a zip that knows no links
UTF8 = 0x800  # the flag of a zip entry whose name is in UTF-8

Read = Callable[[str], bytes]


def open_archive(path: Path, request: Request) -> tuple[Members, Read] | None:
    """The members of a zip or tar and how to read one by its path, from any thread; None if the file is neither.

    A compressed tar is inflated once into the scratch directory. Raises DataError for a broken archive, and for one
    that inflates beyond the limit.
    """
    try:
        # A tar is asked first: one that ends with a zip looks like a zip.
        if tarfile.is_tarfile(path):
            return _tar(_inflated(path, request), request.limits)
        if zipfile.is_zipfile(path):
            return _zip(path, request.limits)
    except BROKEN as error:
        raise DataError(f"{path}: a broken archive ({shown(error)})") from error
    return None


def _zip(path: Path, limits: Limits) -> tuple[Members, Read]:
    archive = zipfile.ZipFile(path)
    members, entries = Members(), {}
    for entry in archive.infolist():
        name = _zip_name(entry)
        kind = 0 if entry.create_system == DOS else entry.external_attr >> 16
        if name.endswith(("/", "\\")) or stat.S_ISDIR(kind):
            members.add_folder(name)
        elif stat.S_ISLNK(kind) and entry.file_size <= LONGEST_TARGET:
            members.add(name, link=archive.read(entry).decode("utf-8", "surrogateescape"))
        elif stat.S_IFMT(kind) and not stat.S_ISREG(kind):
            members.add(name, fault="a device, a pipe or a link too long, no regular file")
        elif place := members.add(name):
            entries[place] = entry

    def read(name: str) -> bytes:
        limits.check_file(entries[name].file_size)
        try:
            return archive.read(entries[name])
        except BROKEN as error:
            raise OSError(f"the archive's entry is broken: {error}") from error

    return members, read


def _zip_name(entry: zipfile.ZipInfo) -> str:
    """The name of an entry; macOS writes UTF-8 and does not say so, and Python then takes it for code page 437."""
    if entry.flag_bits & UTF8:
        return entry.orig_filename
    try:
        return entry.orig_filename.encode("cp437").decode("utf-8")
    except ValueError:
        return entry.orig_filename


def _tar(path: Path, limits: Limits) -> tuple[Members, Read]:
    members, places = Members(), {}
    with tarfile.open(path) as archive, path.open("rb") as file:
        for member in archive:
            if member.isdir():
                members.add_folder(member.name)
            elif member.issym():
                members.add(member.name, link=member.linkname)
            elif member.islnk():
                members.add(member.name, link=f"/{member.linkname}")  # a hard link names a member, from the root
            elif not member.isfile():
                members.add(member.name, fault="a device or a pipe, no regular file")
            elif member.issparse():
                members.add(member.name, fault="a sparse file; pack the archive without --sparse")
            elif place := members.add(member.name):
                places[place] = member.offset_data, member.size
        # tarfile takes a damaged or a missing header for the end, which is a block of zeros.
        file.seek(archive.offset)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError(f"at byte {archive.offset} it has neither a member nor its end")

    def read(name: str) -> bytes:
        offset, size = places[name]
        limits.check_file(size)
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(size)

    return members, read


def _inflated(path: Path, request: Request) -> Path:
    # Single files of a compressed stream can only be reached from its beginning, so it is inflated once.
    with path.open("rb") as file:
        start = file.read(8)
    for magic, inflate in COMPRESSED.items():
        if start.startswith(magic):
            digest = hashlib.md5(str(path.absolute()).encode("utf-8", "surrogateescape"), usedforsecurity=False)
            plain = request.scratch / f"{digest.hexdigest()}.tar"
            if not plain.exists():
                with inflate(path) as source, plain.open("wb") as target:
                    for block in request.limits.inflated(source, path.stat().st_size, path):
                        target.write(block)
            return plain
    return path
