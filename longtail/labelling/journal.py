"""The journal of a queue: one JSON line for each thing that a person did, appended and on the disk before it counts.

Nothing in it is ever changed. A line that a kill or a full disk tore was never acknowledged: it is passed over, and cut
off when the journal is next opened to write.
"""

import fcntl
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, Field, StringConstraints, ValidationError

from longtail.errors import DataError
from longtail.sources.quoting import shown

Choice = Literal["yes", "no", "unsure"]
LONGEST_NAME = 60
LONGEST = 240  # characters of a path or a reason in a message
Who = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_NAME, pattern=r"^[^\x00-\x1f\x7f]+$")
]


class Shown(BaseModel, extra="forbid", frozen=True):
    """What a person saw beside the image, and the digests of the queue and of the model that it came from."""

    proposed: str
    confidence: float
    queue: str
    model: str


class Entry(BaseModel, extra="forbid", frozen=True):
    """What `who` did at `when`: said of an item whether it is what is proposed, after looking for `seconds`; or took
    the entry `undoes` back. `number` counts from 0. `imported`: it was decided elsewhere.
    """

    number: int = Field(ge=0)
    who: Who
    when: AwareDatetime
    item: str
    shown: Shown
    decision: Choice | None = None
    undoes: int | None = None
    seconds: float | None = Field(None, ge=0, allow_inf_nan=False)
    imported: bool = Field(False, exclude_if=lambda value: not value)


class Journal:
    """The journal of a queue, open for one process to append to."""

    def __init__(self, path: Path, file: int, entries: list[Entry], size: int) -> None:
        self.entries = entries
        self._path, self._file, self._size = path, file, size

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open or begin the journal, and cut off a torn last line. Raises DataError if another process has it open, or
        it is damaged.
        """
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            _lock(file, path)
            entries, size, torn = _read(path)
            if torn:
                print(f"{shown(path, LONGEST)}: {_torn(torn)}", file=sys.stderr)
                os.ftruncate(file, size)
            os.fsync(file)
            _sync_folder(path.parent)
        except BaseException:
            os.close(file)
            raise
        return cls(path, file, entries, size)

    def append(
        self,
        who: str,
        item: str,
        shown: Shown,
        *,
        decision: Choice | None = None,
        undoes: int | None = None,
        seconds: float | None = None,
        when: datetime | None = None,
        imported: bool = False,
    ) -> Entry:
        """Add an entry; it is on the disk when this returns. Raises OSError if it could not be, and the journal is as
        before.
        """
        entry = Entry(
            number=len(self.entries),
            who=who,
            when=when or datetime.now(UTC),
            item=item,
            shown=shown,
            decision=decision,
            undoes=undoes,
            seconds=seconds,
            imported=imported,
        )
        line = f"{entry.model_dump_json()}\n".encode()
        try:
            _write(self._file, line)
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(line)
        self.entries.append(entry)
        return entry

    def close(self) -> None:
        """Let others open it. What is appended after that raises OSError."""
        file, self._file = self._file, -1
        os.close(file)


def read_journal(path: Path) -> list[Entry]:
    """What a journal holds, nothing where there is none; a process may be writing it. A torn last line is told on
    stderr. Raises DataError if it is damaged elsewhere.
    """
    if not path.exists():
        return []
    entries, _, torn = _read(path)
    if torn:
        print(f"{shown(path, LONGEST)}: {_torn(torn)}", file=sys.stderr)
    return entries


def _read(path: Path) -> tuple[list[Entry], int, int]:
    """The entries, the bytes that they take, and those of a torn line after them."""
    content = path.read_bytes()
    lines = content.split(b"\n")
    torn = lines.pop()
    entries: list[Entry] = []
    last: dict[tuple[str, str], Entry] = {}
    for number, line in enumerate(lines):
        try:
            entry = Entry.model_validate_json(line)
        except ValidationError as error:
            raise _damaged(path, number, error.errors()[0]["msg"]) from None
        if why := _misfit(entry, entries, last):
            raise _damaged(path, number, why)
        entries.append(entry)
        last[entry.item, entry.who] = entry
    return entries, len(content) - len(torn), len(torn)


def _misfit(entry: Entry, before: list[Entry], last: dict[tuple[str, str], Entry]) -> str | None:
    """Why an entry cannot follow those before it, `last` by item and person; None if it can."""
    if entry.number != len(before):
        return f"it has the number {entry.number}: lines are missing or out of order"
    if (entry.decision is None) == (entry.undoes is None):
        return "it is neither a decision nor an undo"
    if entry.undoes is not None:
        undone = last.get((entry.item, entry.who))
        if undone is None or undone.decision is None or undone.number != entry.undoes:
            return f"it undoes {entry.undoes}, which is not the decision in force of this person on this item"
    return None


def _damaged(path: Path, number: int, why: str) -> DataError:
    return DataError(
        f"{shown(path, LONGEST)}: line {number + 1} is damaged: {shown(why, LONGEST)}; restore the file from a backup, "
        "or take the lines from there on away if you can spare them"
    )


def _torn(count: int) -> str:
    return f"the last line is torn after {count} bytes; it was never acknowledged, and is passed over"


def _write(file: int, line: bytes) -> None:
    while line:
        line = line[os.write(file, line) :]


def _lock(file: int, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DataError(
            f"another process serves or imports into {shown(path.parent, LONGEST)}; end it first, or use its page"
        ) from None


def _sync_folder(folder: Path) -> None:
    """Have the disk know that the file is there."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
