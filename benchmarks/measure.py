"""Honest timings on a noisy machine: the sides of a comparison alternate, and what is quoted is the ratio of pairs."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

MIB = 2**20


@dataclass(frozen=True)
class Spread:
    """The median of some values, the lowest and the highest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> "Spread":
        return cls(statistics.median(values), min(values), max(values))

    def text(self, form: str = "{:.2f}") -> str:
        """As in "1.12 (1.10 to 1.15)"."""
        median, low, high = (form.format(value) for value in (self.median, self.low, self.high))
        return f"{median} ({low} to {high})"


def seconds(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """The time of one call, on the wall's clock by default."""
    began = clock()
    work()
    return clock() - began


def alternate(
    sides: Mapping[str, Callable[[], object]],
    *,
    pairs: int,
    warm_up: bool = True,
    repeat: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds a call of each side, `pairs` times, the sides taking turns and every second turn backwards.

    `repeat`: calls that are timed together, for work of microseconds.
    """
    if warm_up:
        for work in sides.values():
            work()
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(pairs):
        for name in list(sides)[:: -1 if turn % 2 else 1]:
            times[name].append(seconds(lambda work=sides[name]: [work() for _ in range(repeat)], clock) / repeat)  # type: ignore[misc]
    return times


def ratio(above: list[float], below: list[float]) -> Spread:
    """How many times longer one side takes than the other, pair by pair."""
    return Spread.of([a / b for a, b in zip(above, below, strict=True)])


def peak_memory(work: Callable[[], object]) -> float:
    """By how many MiB the resident memory of this process rises at most above what it is now, while `work` runs."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # Linux: forget the highest value so far
    before = _resident("VmRSS")
    work()
    return (_resident("VmHWM") - before) / MIB


def measured(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds, and MiB at most, of one call."""
    began = time.perf_counter()
    memory = peak_memory(work)
    return time.perf_counter() - began, memory


def resident_memory() -> float:
    """The resident memory of this process, in MiB."""
    return _resident("VmRSS") / MIB


def _resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))
