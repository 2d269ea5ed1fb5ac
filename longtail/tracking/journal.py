"""The journal of one step: an append-only file of events and copies of its artifacts, until MLflow has them all.

<root>/<time>-<step>-<random>/
    journal.jsonl    the opening event, then one event a line; locked by the process that writes it
    files/           copies of the artifacts
    receipt.json     how many events have been delivered, and to which runs
"""

import fcntl
import json
import os
import re
import secrets
import shutil
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Self

Event = dict[str, Any]


@dataclass
class Receipt:
    """What the store at `uri` has: the runs' ids, and the first `count` events."""

    uri: str
    parent: str | None = None
    run: str | None = None
    count: int = 0


class Journal:
    """Events in memory and on disk. Where the disk refuses, `on_error` is called and memory alone serves."""

    def __init__(self, path: Path, file: IO[str] | None, on_error: Callable[[OSError], None]) -> None:
        self.path = path
        self.events: list[Event] = []
        self._file = file
        self._broken = file is None
        self._on_error = on_error
        self._stored = 0
        self._one_thread = threading.Lock()
        self._receipt: Receipt | None = None

    @classmethod
    def create(cls, opening: Event, on_error: Callable[[OSError], None]) -> Self:
        """A new journal under the root, locked by this process."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
        step = re.sub(r"[^\w.@-]", "_", opening["name"] or opening["stage"])[:60]
        path = root().absolute() / f"{stamp}-{step}-{secrets.token_hex(3)}"
        file = None
        try:
            path.mkdir(parents=True)
            # Locked before others see it: whoever finds an empty journal without its process removes it.
            locked = _locked(path / "journal.jsonl.new")
            (path / "journal.jsonl.new").rename(path / "journal.jsonl")
            file = locked
        except OSError as error:
            on_error(error)
        journal = cls(path, file, on_error)
        journal.append("open", **opening)
        return journal

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """A journal left by a process that ended; None while its process lives or when it holds nothing readable.

        An empty one is removed; one that cannot be read stays, and is told on stderr.
        """
        try:
            journal = cls(path, _locked(path / "journal.jsonl"), _refuse)
            journal.events = _read(path / "journal.jsonl")
        except OSError:
            return None
        if not journal.events:
            if (path / "journal.jsonl").stat().st_size:
                print(f"tracking: {path} cannot be read and stays; delete it if you can spare it", file=sys.stderr)
                journal.close()
            else:
                journal.remove()
            return None
        if journal.events[-1]["kind"] != "end":
            journal.events.append({"kind": "end", "time": journal.events[-1]["time"], "status": "KILLED"})
        return journal

    @property
    def opening(self) -> Event:
        """The event that says what the step is."""
        return self.events[0]

    @property
    def identified(self) -> bool:
        """Whether the md5 of the data, and with it the parent run, is known."""
        return self.ended or any(event["kind"] == "dataset" for event in self.events[:3])

    @property
    def dataset(self) -> str | None:
        """The md5 of the data; None before it is known and for a step without data."""
        return next((event["md5"] for event in self.events if event["kind"] == "dataset"), None)

    @property
    def on_disk(self) -> bool:
        """Whether the events survive this process."""
        return not self._broken

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return bool(self.events[-1]["kind"] == "end")

    def append(self, kind: str, **fields: Any) -> None:
        """Add an event, stamped with the time in milliseconds."""
        event = {"kind": kind, "time": time.time_ns() // 1_000_000, **fields}
        with self._one_thread:
            self.events.append(event)
            try:
                if self._file is not None and self.on_disk:
                    self._file.write(json.dumps(event, default=str) + "\n")
                    self._file.flush()
            except OSError as error:
                self._broken = True  # the file stays open: it is the lock
                self._on_error(error)

    def keep(self, source: Path) -> str:
        """Copy a file or directory; where the copy lies, from the journal's directory. Without a disk: where it is."""
        self._stored += 1
        target = self.path / "files" / str(self._stored) / source.name
        try:
            target.parent.mkdir(parents=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, target)
        except OSError as error:
            self._on_error(error)
            return str(source.absolute())
        return target.relative_to(self.path).as_posix()

    def receipt(self, uri: str) -> Receipt:
        """What the store at `uri` has of this journal so far."""
        if self._receipt is None and (self.path / "receipt.json").is_file():
            with suppress(ValueError, TypeError):  # torn as the machine went down: everything is delivered again
                self._receipt = Receipt(**json.loads((self.path / "receipt.json").read_text(encoding="utf-8")))
        if self._receipt is None or self._receipt.uri != uri:
            self._receipt = Receipt(uri)
        return self._receipt

    def acknowledge(self, receipt: Receipt) -> None:
        """Remember what has been delivered. Losing this repeats deliveries that MLflow ignores, no more."""
        self._receipt = receipt
        if self.on_disk:
            new = self.path / "receipt.json.new"
            try:
                new.write_text(json.dumps(asdict(receipt)), encoding="utf-8")
                new.replace(self.path / "receipt.json")
            except OSError as error:
                self._on_error(error)

    def remove(self) -> None:
        """Delete the journal: everything is delivered."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.close()

    def close(self) -> None:
        """Let others deliver it."""
        if self._file is not None:
            with suppress(OSError):  # what a full disk left in the buffer
                self._file.close()
            self._file = None


def root() -> Path:
    """Where journals lie: in the working directory, or on the volume that LONGTAIL_WORK names, for a pod's files go
    with the pod.
    """
    volume = os.environ.get("LONGTAIL_WORK")
    return Path(volume) / "tracking" if volume else Path(".longtail/tracking")


def waiting() -> list[Path]:
    """The journals on disk, the oldest first."""
    return sorted(path.parent for path in root().glob("*/journal.jsonl"))


def _refuse(error: OSError) -> None:
    raise error


def _locked(path: Path) -> IO[str]:
    file = path.open("a", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise
    return file


def _read(file: Path) -> list[Event]:
    events = []  # a process killed while it wrote leaves half a line: what stands before it is whole
    # Not splitlines: it takes characters for ends of lines that JSON leaves as they are.
    for line in file.read_bytes().split(b"\n"):
        try:
            events.append(json.loads(line))
        except ValueError:
            break
    return events
