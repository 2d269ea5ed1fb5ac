"""A disk that is full at once: a small file system in memory."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from manifests import missing


@contextmanager
def small_disk(path: Path, options: str) -> Iterator[None]:
    """Mount it at the directory `path`, with options such as "size=8k" or "nr_inodes=3"; skip where one may not."""
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", path], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        missing("mounting a small file system needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", path], check=True)
