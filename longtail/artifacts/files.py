"""Files and directories, put into place whole or deleted."""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from longtail.errors import DataError


@contextmanager
def written(file: Path) -> Iterator[Path]:
    """Where to write a file that takes its place when the block ends, and is deleted if it fails. Raises DataError if a
    folder is there.
    """
    if file.is_dir():
        raise DataError(f"{file} is a folder; name a file")
    new = file.with_name(f".{file.name}.partial")
    try:
        yield new
        new.replace(file)
    except BaseException:
        remove(new)
        raise


def replace(new: Path, old: Path) -> None:
    """Rename `new` to `old`, whatever is at `old`."""
    aside = old.with_name(f".{old.name}.replaced")
    remove(aside)
    if old.exists():
        old.rename(aside)
    new.rename(old)
    remove(aside)


def folders(paths: Iterable[Path]) -> set[Path]:
    """The folders among the paths, and those of the files."""
    return {path if path.is_dir() else path.parent for path in paths}


def remove(path: Path) -> None:
    """Delete a file or a directory, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
