"""DVC 3's layout of a remote and of its cache: an object is called by its md5."""

import hashlib
from pathlib import Path


def object_path(md5: str) -> str:
    """Where an object lies, relative to the remote: `files/md5/ab/cdef…`; a directory's md5 ends in `.dir`."""
    return f"files/md5/{md5[:2]}/{md5[2:]}"


def file_md5(path: Path) -> str:
    """The md5 of a file's bytes, 32 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
