"""What a step takes of its machine (processor, memory, disk, network, GPUs), as MLflow's own monitors measure it."""

import importlib
import threading
from contextlib import suppress
from typing import Any

from longtail.tracking.journal import Journal

SECONDS = 10.0
PREFIX = "system/"


class Load:
    """Journals the load now and then, from a thread. A step of a few seconds has none: MLflow is imported for it."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="load", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Journal nothing more."""
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        if self._ended.wait(SECONDS):
            return
        with suppress(Exception):  # without psutil, or where a machine shows nothing of itself
            monitors = _monitors()
            step = 0
            while not self._ended.is_set():
                self._journal.append("metrics", values=_measured(monitors), step=step)
                step += 1
                self._ended.wait(SECONDS)


def _monitors() -> list[Any]:
    names = ("CPUMonitor", "DiskMonitor", "NetworkMonitor", "GPUMonitor")
    found = []
    for name in names:
        with suppress(Exception):  # there is no GPU, or no way to ask it
            module = importlib.import_module(
                f"mlflow.system_metrics.metrics.{name.removesuffix('Monitor').lower()}_monitor"
            )
            found.append(getattr(module, name)())
    return found


def _measured(monitors: list[Any]) -> dict[str, float]:
    values: dict[str, float] = {}
    for monitor in monitors:
        monitor.collect_metrics()
        values |= {PREFIX + name: float(value) for name, value in monitor.aggregate_metrics().items()}
        monitor.clear_metrics()
    return values
