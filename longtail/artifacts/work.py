"""Directories for work that survives a crash: checkpoints, fetched objects, parts of a table."""

import fcntl
import os
import shutil
import sys
from itertools import count
from pathlib import Path

from longtail.artifacts.files import remove

# The work directories on a volume that the running stage has, and the descriptors that lock them.
_claimed: dict[Path, int] = {}
# Shared work directories to delete when the stage succeeds.
_shared: set[Path] = set()


def work_directory(output: Path, fingerprint: str) -> Path:
    """The directory that survives a crash (checkpoints live there); removed when the stage succeeds.

    It is a hidden sibling of the output. A pod that is tried again has another output and a fresh file system: there
    LONGTAIL_WORK names a directory on a volume, and the work is found again by the `fingerprint` (hexadecimal) of
    what it depends on, whatever the paths. A second run that does the same work at the same time gets a directory of
    its own, and so does a further attempt while a lost node's lock lives on; a warning on stderr says so.
    """
    volume = os.environ.get("LONGTAIL_WORK")
    if not volume:
        return _hidden_sibling(output)
    path = Path(volume) / fingerprint[:16]
    # Of the processes of one training, which torchrun numbers, only the first writes.
    if os.environ.get("RANK", "0") != "0" or _claim(path):
        return path
    # Numbered: an attempt after this one finds it again.
    own = next(other for number in count(2) if _claim(other := path.with_name(f"{path.name}-{number}")))
    print(
        f"warning: another run holds {path} and what has been done there (checkpoints, fetched objects): this one does "
        f"without, in {own}. If no other is alive (a lost node's lock lives on for minutes), end this one and start "
        "it again later",
        file=sys.stderr,
    )
    return own


def remove_on_success(path: Path) -> None:
    """Have a directory removed that several runs share, when the outputs of the running stage are in place."""
    _shared.add(path)


def succeed(outputs: list[Path]) -> None:
    """Delete the work of a stage whose outputs are in place."""
    for path in outputs:
        remove(_hidden_sibling(path))
    for path in {*_claimed, *_shared}:
        shutil.rmtree(path, ignore_errors=True)  # another run may be at it


def release() -> None:
    """Let others have the work directories of the stage that has ended."""
    for lock in _claimed.values():
        os.close(lock)
    _claimed.clear()
    _shared.clear()


def _claim(path: Path) -> bool:
    """Make the directory and lock it until the stage or its process ends; False if another process has it."""
    while True:
        path.mkdir(parents=True, exist_ok=True)
        try:
            lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:  # the other run has just succeeded
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(lock), (path / "lock").stat()):
                _claimed[path] = lock
                return True
        except BlockingIOError:
            os.close(lock)
            return False
        except FileNotFoundError:
            pass
        os.close(lock)


def _hidden_sibling(output: Path) -> Path:
    name = output.name.removeprefix(".").removesuffix(".partial")
    return output.with_name(f".{name}.work")
