"""What is asked of the tracking store outside of a step: take what earlier steps left behind; promote a model."""

import os
import sys
from typing import TYPE_CHECKING

from longtail.errors import DataError
from longtail.tracking import offline, registry
from longtail.tracking.database import ensure_whole
from longtail.tracking.journal import Journal, root, waiting
from longtail.tracking.settings import DEFAULT_URI, Settings, without_credentials

if TYPE_CHECKING:
    from longtail.tracking.delivery import Store

SYNC_TIMEOUT = 30


def sync() -> int:
    """Deliver every waiting journal whose step has ended; how many were delivered.

    They go to MLFLOW_TRACKING_URI if it is set, otherwise each to the store it was meant for. What MLflow already has
    is not sent again. Raises DataError if a store cannot take them: then they stay.
    """
    delivered, problems = 0, []
    # `mlflow ui`, for one, cannot open a half-made store, whatever waits to be delivered to it.
    ensure_whole(os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI, new=False)
    for journal in filter(None, map(Journal.load, waiting())):
        uri = os.environ.get("MLFLOW_TRACKING_URI") or journal.opening["uri"]
        try:
            _store(uri).deliver(journal)
        except Exception as error:
            problems.append(offline.reason(without_credentials(uri), error))
        else:
            delivered += 1
        finally:
            journal.close()
    if problems:
        raise DataError(f"{problems[0]}; {len(waiting())} step(s) still wait in {root()}")
    return delivered


def promote(name: str | None = None, *, insist: bool = False) -> str:
    """Make the challenger among the models called `name` the champion; a sentence of it.

    Raises DataError if the store does not answer, tracking is off, there is no challenger, or a paired test does not
    speak for it.
    """
    if Settings.from_environment() is None:
        raise DataError("tracking is off, so there is no MLflow to promote a model in; unset LONGTAIL_TRACKING")
    uri = os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI
    try:
        return registry.promote(_store(uri).client, name, insist=insist)
    except DataError:
        raise
    except Exception as error:
        raise DataError(offline.reason(without_credentials(uri), error)) from error


def deliver_waiting(store: "Store") -> None:
    """Deliver the waiting journals meant for this store, the oldest first; one that fails stays, and is for `sync`.
    Where the store does not answer the others stay too: each would wait as long.
    """
    uri = without_credentials(store.uri)
    for journal in filter(None, map(Journal.load, waiting())):
        try:
            if journal.opening["uri"] == uri:
                store.deliver(journal)
        except Exception as error:
            print(f"tracking: {journal.path} stays: {offline.reason(uri, error)}", file=sys.stderr)
            if offline.unanswered(error):
                break
        finally:
            journal.close()


def _store(uri: str) -> "Store":
    from longtail.tracking.delivery import Store

    return Store(uri, timeout=SYNC_TIMEOUT)
