"""The step that runs in this process: what it logs goes to its journal at once, and to MLflow every few seconds."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longtail.tracking import identity, offline
from longtail.tracking.journal import Journal
from longtail.tracking.load import Load
from longtail.tracking.settings import Settings

if TYPE_CHECKING:
    from longtail.tracking.delivery import Store

# Deliver at most every 5 s, and never let a slow store take more than a tenth of the step's time.
FLUSH_SECONDS = 5.0
FLUSH_SHARE = 10.0

Md5 = Callable[[], str | None] | str | None

_current: "StageRun | None" = None


def current() -> "StageRun | None":
    """The step that is being tracked, if any."""
    return _current


@contextmanager
def stage_run(
    stage: str,
    name: str | None,
    *,
    params: dict[str, Any],
    config: dict[str, Any],
    dataset: Md5,
    last: bool = False,
) -> Iterator["StageRun | None"]:
    """Track one step: everything logged inside lands in a nested run `name` of the pipeline's parent run, or without a
    name in the parent run itself.

    `params` are the step's own, `config` every parameter of the pipeline. `dataset` is the md5 of the data; the step
    that makes the data gives a function, which is called when the step has succeeded. `last` says that the pipeline is
    finished when this step is. Of the run, which is None with tracking off, `delivered` tells at the end whether MLflow
    has it. An exception ends the runs as FAILED and goes on; tracking itself never raises.
    """
    global _current  # noqa: PLW0603 - one step a process
    settings = Settings.from_environment()
    if settings is None:
        yield None
        return
    opening = {
        "stage": stage,
        "name": name and name.replace("'", "_"),
        "params": params,
        "config": config,
        "last": last,
    }
    # As JSON has it: a fingerprint must be the same from memory and from the journal.
    run = _current = StageRun(settings, json.loads(json.dumps(opening, default=str)), dataset)
    try:
        yield run
    except BaseException as error:
        run.end("FAILED" if isinstance(error, Exception) else "KILLED", f"{type(error).__name__}: {error}")
        raise
    else:
        run.end("FINISHED")
    finally:
        _current = None


class StageRun:
    """A journal and when to deliver it."""

    def __init__(self, settings: Settings, opening: dict[str, Any], dataset: Md5) -> None:
        self.settings = settings
        self._dataset = dataset
        self._warned = False
        self._tried = False
        self.delivered = False  # all of it, the end as well
        self._store: Store | None = None
        self._online = not settings.later and not offline.recent(settings.public_uri)
        self._next_flush = time.monotonic() + FLUSH_SECONDS
        where = {"uri": settings.public_uri, "experiment": settings.experiment, "parent": settings.parent}
        names = {"run_name": settings.run_name, "execution": settings.execution}
        code = {"code": identity.code_md5(), "git": identity.git_state()}
        self.journal = Journal.create(opening | where | names | code, self._disk_failed)
        if not callable(dataset):
            self.journal.append("dataset", md5=dataset)
        self._load = Load(self.journal)

    def log(self, kind: str, **fields: Any) -> None:
        """Journal an event; deliver when it is time."""
        self.journal.append(kind, **fields)
        # A file that could not be copied may be gone when its step ends.
        urgent = kind in ("artifact", "model") and Path(fields["file"]).is_absolute()
        if self._online and (urgent or time.monotonic() >= self._next_flush):
            self.flush()

    def end(self, status: str, error: str | None = None) -> None:
        """Close the runs with MLflow's `status`, and deliver what is left."""
        self._load.end()
        if callable(self._dataset):
            self.journal.append("dataset", md5=self._made(self._dataset) if status == "FINISHED" else None)
        if error:
            self.journal.append("tag", key="longtail.error", value=error[:500], parent=True)
        self.journal.append("end", status=status)
        last = self.journal.opening["last"]
        short = self._store is None and status == "FINISHED" and not last
        if self.journal.on_disk and (self.settings.later or (self.settings.local and short)):
            pass  # `sync`, or the next delivery, takes this journal along
        elif self._online or self._tried or last:
            self.flush()
        else:
            self._keep_for_later(f"the tracking server at {self.settings.public_uri} did not answer a moment ago")
        self.journal.close()

    def _made(self, dataset: Callable[[], str | None]) -> str | None:
        try:
            return dataset()
        except Exception as error:
            self._warn(f"the md5 of the data is not known ({error})")
            return None

    def flush(self) -> None:
        """Deliver what is journalled. A failure is said once, and not tried again before the end of the step."""
        started = time.monotonic()
        self._tried = True
        try:
            if self._store is None:
                from longtail.tracking.delivery import Store
                from longtail.tracking.sync import deliver_waiting

                self._store = Store(self.settings.uri)
                deliver_waiting(self._store)
            self._store.deliver(self.journal)
            self.delivered = self.journal.ended
        except Exception as error:
            self._offline(error)
        now = time.monotonic()
        self._next_flush = now + max(FLUSH_SECONDS, FLUSH_SHARE * (now - started))

    def _offline(self, error: Exception) -> None:
        self._online = False
        offline.mark(self.settings.public_uri)
        self._keep_for_later(offline.reason(self.settings.public_uri, error))

    def _keep_for_later(self, why: str) -> None:
        self._warn(f"{why}; this step is kept in {self.journal.path} and `longtail sync` sends it later")

    def _disk_failed(self, error: OSError) -> None:
        self._warn(f"the journal cannot be written ({error}); what MLflow does not take at once is lost")

    def _warn(self, message: str) -> None:
        if not self._warned:
            print(f"tracking: {message}", file=sys.stderr)
        self._warned = True
