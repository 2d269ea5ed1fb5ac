"""Files and directories, put into place whole or deleted."""

import shutil
from pathlib import Path


def replace(new: Path, old: Path) -> None:
    """Rename `new` to `old`, whatever is at `old`."""
    aside = old.with_name(f".{old.name}.replaced")
    remove(aside)
    if old.exists():
        old.rename(aside)
    new.rename(old)
    remove(aside)


def remove(path: Path) -> None:
    """Delete a file or a directory, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
