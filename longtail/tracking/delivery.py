"""From journals to MLflow, so that delivering anything twice changes nothing.

Runs are found again by tags before they are created. Metrics carry the time at which they were journalled, and MLflow
keeps one of two equal points; what an attempt repeats of another is left out; parameters, tags and artifacts overwrite
themselves.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby, product
from pathlib import Path
from typing import Any

from longtail.environment import changed
from longtail.tracking import naming, offline
from longtail.tracking.attempts import Attempts
from longtail.tracking.database import ensure_whole
from longtail.tracking.deadline import Punctual
from longtail.tracking.inputs import dataset_input
from longtail.tracking.journal import Event, Journal, Receipt
from longtail.tracking.models import BATCH, log_pyfunc
from longtail.tracking.registry import register
from longtail.tracking.runs import Runs, description
from longtail.tracking.settings import without_credentials

TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"

# MLflow's retries take minutes, and the journal is our retry. Its usage statistics are for the user to switch on.
# Its progress bars and addresses would run through what the step prints.
DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}

# A server behind which an object store takes the file answers late, the more so the larger the file.
UPLOAD_TIMEOUT = 60
BYTES_PER_SECOND = 1e6

# What MLflow will not take, however often it is sent. Any other failure is worth another try.
LOST = "RESOURCE_DOES_NOT_EXIST"
HOPELESS = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", LOST, "INVALID_STATE")


class LostFileError(Exception):
    """A journalled artifact that is no longer there."""


class LostRunError(Exception):
    """A run that a receipt names and the store has not, as after an older database was restored."""


class Store:
    """An MLflow tracking store that has answered within `timeout` seconds. Raises what MLflow raises."""

    def __init__(self, uri: str, timeout: int = 5) -> None:
        for name, value in DEFAULTS.items():
            os.environ.setdefault(name, value)
        self.uri = uri
        self._timeout = timeout
        self._user_decides = TIMEOUT in os.environ
        import mlflow

        ensure_whole(uri)
        self.client = Punctual(mlflow.MlflowClient(uri))
        with self._patience(timeout):
            self.client.search_experiments(max_results=1)
        self._runs = Runs(self.client)
        offline.clear()

    def deliver(self, journal: Journal) -> None:
        """Send what the journal holds and the store has not; remove the journal when its step has ended."""
        if not journal.identified:
            return
        receipt = journal.receipt(without_credentials(self.uri))
        with self._patience(self._timeout):
            try:
                self._deliver(journal, receipt)
            except LostRunError:
                self._deliver(journal, Receipt(receipt.uri))  # the journal still has it all
        if journal.ended:
            journal.remove()

    def _deliver(self, journal: Journal, receipt: Receipt) -> None:
        if receipt.run is None:
            receipt.parent, receipt.run = self._runs.open(journal.opening, journal.dataset)
            journal.acknowledge(receipt)
        attempts = Attempts(self.client, journal.events)
        for batch in _batches(journal.events[receipt.count :]):
            self._send(batch, journal, receipt, attempts)
            receipt.count += len(batch)
            journal.acknowledge(receipt)

    def _send(self, batch: list[Event], journal: Journal, receipt: Receipt, attempts: Attempts) -> None:
        from mlflow.exceptions import MlflowException

        runs = self._targets(batch[0], receipt)
        try:
            if batch[0]["kind"] == "metrics":
                self._send_metrics(runs, batch, attempts)
            else:
                self._send_to(runs, batch[0], journal)
        except (MlflowException, LostFileError) as error:
            if isinstance(error, MlflowException):
                if error.error_code not in HOPELESS:
                    raise
                if error.error_code == LOST:
                    self._check_there(receipt)
            print(f"tracking: left out, {batch[0]['kind']}: {error}", file=sys.stderr)

    def _check_there(self, receipt: Receipt) -> None:
        from mlflow.exceptions import MlflowException

        for run in filter(None, (receipt.parent, receipt.run)):
            try:
                self.client.get_run(run)
            except MlflowException as error:
                if error.error_code == LOST:
                    raise LostRunError(f"the store has no run {run} any more") from error
                raise

    def _targets(self, event: Event, receipt: Receipt) -> list[str]:
        both = event.get("parent") or event["kind"] == "end"
        return list(dict.fromkeys(run for run in (receipt.run, receipt.parent if both else None) if run))

    def _send_metrics(self, runs: list[str], batch: list[Event], attempts: Attempts) -> None:
        for run, points in product(runs, _metrics(batch)):
            # A pipeline's run is that of all its executions too, and a later one may have found another value.
            if new := attempts.new(run, points, changed=run != runs[0]):
                self.client.log_batch(run, metrics=new)

    def _send_to(self, runs: list[str], event: Event, journal: Journal) -> None:
        match event["kind"]:
            case "tag":
                for run in runs:
                    self.client.set_tag(run, event["key"], event["value"])
            case "description":
                for run in runs:
                    note = description(journal.opening, journal.dataset, event["text"])
                    self.client.set_tag(run, "mlflow.note.content", note)
            case "input":
                name = naming.names(journal.opening["config"]).get(naming.DATA, "packed dataset")
                for run in runs:
                    self.client.log_inputs(run, [dataset_input(event, name)])
            case "artifact":
                for run in runs:
                    self._upload(run, _kept(journal, event), event["folder"])
            case "model":
                folder = _kept(journal, event)
                name = naming.registered(journal.opening["config"], journal.dataset)
                with self._patience(UPLOAD_TIMEOUT, folder):
                    model = log_pyfunc(self.client, runs, folder, event)
                    register(self.client, name, runs[0], model, event["comparison"])
            case "end":
                self._runs.close(runs, journal.opening, event)

    def _upload(self, run: str, path: Path, folder: str | None) -> None:
        with self._patience(UPLOAD_TIMEOUT, path):
            if path.is_dir():
                self.client.log_artifacts(run, str(path), "/".join(filter(None, (folder, path.name))))
            else:
                self.client.log_artifact(run, str(path), folder)

    @contextmanager
    def _patience(self, seconds: int, upload: Path | None = None) -> Iterator[None]:
        """Let an answer take so many seconds, or as many as the user says, and for a file more."""
        before = self.client.seconds
        with changed({} if self._user_decides else {TIMEOUT: str(seconds)}):
            if self.uri.startswith("http"):
                self.client.seconds = float(os.environ[TIMEOUT]) + (_size(upload) / BYTES_PER_SECOND if upload else 0)
            try:
                yield
            finally:
                self.client.seconds = before


def _batches(events: list[Event]) -> Iterator[list[Event]]:
    """Metrics that follow each other and go to the same runs together, every other event alone."""
    for (kind, _), group in groupby(events, key=lambda event: (event["kind"], event.get("parent"))):
        together = list(group)
        size = BATCH if kind == "metrics" else 1
        yield from (together[start : start + size] for start in range(0, len(together), size))


def _kept(journal: Journal, event: Event) -> Path:
    path: Path = journal.path / event["file"]
    if not path.exists():
        raise LostFileError(f"{path} is gone")
    return path


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)


def _metrics(batch: list[Event]) -> Iterator[list[Any]]:
    from mlflow.entities import Metric

    points = [
        Metric(key, value, event["time"], event["step"]) for event in batch for key, value in event["values"].items()
    ]
    yield from (points[start : start + BATCH] for start in range(0, len(points), BATCH))
