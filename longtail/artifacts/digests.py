"""The digest of every file of an artifact, so that a disk that rots or a hand that edits changes no result in silence.

The step that makes an artifact leaves them in `digests.json`; every step that reads it compares.
"""

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from longtail.artifacts.reading import read_json, write_json
from longtail.errors import DataError
from longtail.threads import budget

FILE = "digests.json"
# Images are by far the largest files, and some steps read few of them or none: `PackedDataset` checks what it opens.
IMAGES = "images-"


def write_digests(artifact: Path) -> None:
    """Leave the SHA-256 of every file of an artifact beside them."""
    files = _files(artifact)
    write_json(artifact / FILE, dict(zip(files, _digests(artifact, files), strict=True)))


def artifact_digest(artifact: Path) -> str:
    """One SHA-256 of the names and the content of all files of an artifact."""
    files = _files(artifact)
    return hashlib.sha256(repr(list(zip(files, _digests(artifact, files), strict=True))).encode()).hexdigest()


def check_artifact(artifact: Path) -> None:
    """Raise DataError, naming a file, if the files are not those that the step wrote; but the images are only counted.

    An artifact without digests, made by hand, is taken as it is.
    """
    expected = _expected(artifact)
    if expected is None:
        return
    there = _files(artifact)
    for name in sorted(expected.keys() - set(there)):
        raise _changed(artifact, name, "is missing, or is no file")
    for name in sorted(set(there) - expected.keys()):
        raise _changed(artifact, name, "was not written by it")
    read = [name for name in there if not name.startswith(IMAGES)]
    for name, found in zip(read, _digests(artifact, read), strict=True):
        if found != expected[name]:
            raise _changed(artifact, name, "has changed")


def check_file(file: Path) -> None:
    """Raise DataError if a file at the top of an artifact is not as the step wrote it."""
    expected = _expected(file.parent)
    if expected is not None and _digest(file) != expected.get(file.name):
        raise _changed(file.parent, file.name, "has changed")


def _expected(artifact: Path) -> dict[str, str] | None:
    if not os.path.lexists(artifact / FILE):
        return None
    if not (artifact / FILE).is_file():
        raise _changed(artifact, FILE, "is no file")
    expected = read_json(artifact / FILE)
    if not isinstance(expected, dict):
        raise _changed(artifact, FILE, "has changed")
    return expected


def _files(artifact: Path) -> list[str]:
    """The paths of all files but hidden ones, which a file manager may leave, and the digests themselves. Pipes and
    devices, which would be read for ever, are none.
    """
    paths = (file.relative_to(artifact) for file in artifact.rglob("*") if file.is_file())
    names = (path.as_posix() for path in paths if not any(part.startswith(".") for part in path.parts))
    return sorted(name for name in names if name != FILE)


def _digests(artifact: Path, names: Iterable[str]) -> list[str]:
    with ThreadPoolExecutor(budget()) as pool:  # hashlib works without the interpreter's lock
        return list(pool.map(lambda name: _digest(artifact / name), names))


def _digest(file: Path) -> str:
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}; run the step that makes it again") from error


def _changed(artifact: Path, name: str, what: str) -> DataError:
    return DataError(f"{artifact / name} {what} since the step that made {artifact} ended; run that step again")
