"""What several tests read and none may change: made once for all workers of a run, and looked at again at the end."""

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


def shared(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Iterator[Path]:
    """The folder of that name that `make` fills, once whichever worker asks first; the others wait for it.

    Fails at the end if a test has written into it.
    """
    base = factory.getbasetemp()
    place = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.with_suffix(".made").exists():
            place.mkdir()
            make(place)
            place.with_suffix(".made").write_text(listing(place))
    yield place
    assert listing(place) == place.with_suffix(".made").read_text(), f"a test has written into {place}"


def listing(folder: Path) -> str:
    """The digest of the names, sizes and times of the files below a folder, links as such."""
    entries = []
    for path, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            about = (Path(path) / name).lstat()
            entries.append(f"{path}/{name} {about.st_size} {about.st_mtime_ns}")
    return hashlib.sha256("\n".join(entries).encode()).hexdigest()
