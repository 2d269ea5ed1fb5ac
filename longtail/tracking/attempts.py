"""Metric points that another attempt at the same step has logged: a training that goes on from its checkpoint repeats
those that came after it, with another time, and MLflow would keep both.
"""

from typing import Any

from longtail.tracking.journal import Event
from longtail.tracking.load import PREFIX


class Attempts:
    """What other attempts than the one of these events have logged on the runs of a step. `client`: an MlflowClient."""

    def __init__(self, client: Any, events: list[Event]) -> None:
        self._client = client
        self._own = range(events[0]["time"], events[-1]["time"] + 1)
        self._newest: dict[str, dict[str, Any]] = {}
        self._points: dict[tuple[str, str], dict[int, float]] = {}

    def new(self, run: str, points: list[Any], *, changed: bool) -> list[Any]:
        """Those of the points whose step no other attempt has logged; with `changed` also those of another value."""
        return [point for point in points if not self._logged(run, point, changed)]

    def _logged(self, run: str, point: Any, changed: bool) -> bool:
        if point.key.startswith(PREFIX):  # each attempt has a load of its own
            return False
        if run not in self._newest:
            metrics = self._client.get_run(run).data.to_proto().metrics
            self._newest[run] = {metric.key: metric for metric in metrics}
        newest = self._newest[run].get(point.key)
        if newest is None or point.step > newest.step:
            return False
        if (run, point.key) not in self._points:
            self._points[run, point.key] = self._theirs(run, newest)
        theirs = self._points[run, point.key]
        return point.step in theirs and not (changed and theirs[point.step] != point.value)

    def _theirs(self, run: str, newest: Any) -> dict[int, float]:
        # Most metrics have one point, at step 0, and a thousand of them must not cost a thousand requests.
        history = self._client.get_metric_history(run, newest.key) if newest.step else [newest]
        return {point.step: point.value for point in history if point.timestamp not in self._own}
