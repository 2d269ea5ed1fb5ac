"""The outputs of a step: whole or absent, and of one run at a time."""

import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from longtail.artifacts import digests
from longtail.artifacts.files import remove, replace
from longtail.artifacts.lineage import FILE as LINEAGE
from longtail.errors import DataError


@contextmanager
def written_whole(outputs: Mapping[str, Path], inputs: Iterable[Path] = ()) -> Iterator[dict[str, Path]]:
    """An empty directory for each output, which takes its place when the block ends and is deleted if it fails.

    Raises DataError if another run is at one of them; and if one would replace an input, or what is no artifact: a
    folder of somebody's images, a queue with its decisions.
    """
    read = [path.resolve() for path in inputs]
    for output in outputs.values():
        _check_apart(output, read)
        if output.name in ("", ".."):
            raise DataError(f"{output} is where something else lies; name a folder to make, as {output / 'dataset'}")
        _check_replaceable(output)
    partial = {name: path.with_name(f".{path.name}.partial") for name, path in outputs.items()}
    with ExitStack() as locks:
        for name, path in partial.items():
            locks.callback(os.close, _claim(path, outputs[name]))
        try:
            yield partial
            for name, path in outputs.items():
                _check_replaceable(path)  # somebody may have put a folder there meanwhile
                replace(partial[name], path)
        except BaseException:
            for path in partial.values():
                remove(path)
            raise


def _check_apart(output: Path, inputs: Iterable[Path]) -> None:
    whole = output.resolve()
    for path in inputs:
        if path.is_relative_to(whole):
            raise DataError(f"{output} would replace {path}, which is read to write it; name another output")


def _check_replaceable(output: Path) -> None:
    """An artifact has digests, or at least a lineage; a queue has the latter too, and what people decided."""
    if not output.exists() and not output.is_symlink():
        return
    names = {path.name for path in output.iterdir() if not path.name.startswith(".")} if output.is_dir() else {"file"}
    ours = digests.FILE in names or (LINEAGE in names and not names & {"queue.json", "journal.jsonl"})
    if names and not ours:
        raise DataError(f"{output} is there, and no step has written it; name another output, or move it away")


def _claim(path: Path, output: Path) -> int:
    """Make the directory, or empty what a killed run has left, and lock it; the lock ends with the process."""
    while True:
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            with suppress(IsADirectoryError):  # another run has made it meanwhile
                path.unlink(missing_ok=True)
        path.mkdir(parents=True, exist_ok=True)
        try:
            folder = os.open(path, os.O_RDONLY)
        except FileNotFoundError:  # the other run has just ended
            continue
        if not _lock(folder):
            os.close(folder)
            raise DataError(f"another run is writing {output}; let it end, or end it, then run this step again")
        if path.exists() and os.path.samestat(os.fstat(folder), path.stat()):
            break
        os.close(folder)
    for left in path.iterdir():
        remove(left)
    return folder


def _lock(folder: int) -> bool:
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True
