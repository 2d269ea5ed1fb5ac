"""How far a step has come: a bar on a terminal, otherwise a line now and then, for logs and for people who wait."""

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

FIRST, EVERY = 5.0, 30.0  # seconds until the first line, and between lines


class Advance:
    """Counts `total` things that are done one after the other. Nothing is shown of what takes less than FIRST seconds,
    and no line is longer than 80 columns as long as `note` has 40 at most.
    """

    def __init__(self, title: str, total: int, *, done: int = 0, shown: bool = True) -> None:
        self.title, self.total, self.done, self.began_with = title, total, done, done
        self.note, self.shown = "", shown
        self._bar = _bar() if shown and sys.stderr.isatty() else None

    def __enter__(self) -> "Advance":
        self._began = time.monotonic()
        self._due = self._began + FIRST
        if self._bar:
            self._bar.start()
            self._task = self._bar.add_task(self.title, total=self.total, completed=self.done, note="")
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar:
            self._bar.stop()

    def add(self, count: int = 1, note: str | None = None) -> None:
        """Say that `count` more are done; `note` stays beside it until the next."""
        self.done += count
        self.note = self.note if note is None else note
        if self._bar:
            self._bar.update(self._task, completed=self.done, note=self.note)
        elif self.shown and time.monotonic() >= self._due:
            self._due = time.monotonic() + EVERY
            print(self._line(), file=sys.stderr, flush=True)

    def _line(self) -> str:
        took = time.monotonic() - self._began
        left = took / max(1, self.done - self.began_with) * (self.total - self.done)
        parts = [f"{self.title}: {self.done:,} of {self.total:,}", f"{duration(left)} left", self.note]
        return ", ".join(filter(None, parts))


def duration(seconds: float) -> str:
    """As a person says it: 40 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _bar() -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=10),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    return Progress(*columns, console=Console(stderr=True))
