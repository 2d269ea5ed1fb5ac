"""Where to track, read from the environment alone."""

import os
import re
from dataclasses import dataclass
from typing import Self

DEFAULT_URI = "sqlite:///mlflow.db"
DEFAULT_EXPERIMENT = "longtail"


@dataclass(frozen=True)
class Settings:
    """The tracking store, the experiment ({"id": …} or {"name": …}), and what is asked of the parent run.

    `execution` is an orchestrator's id of the pipeline execution; `later` leaves the delivery to `sync`.
    """

    uri: str
    experiment: dict[str, str]
    parent: str | None
    run_name: str | None
    execution: str | None
    later: bool

    @classmethod
    def from_environment(cls) -> Self | None:
        """None if tracking is off, or if this is not the first of several training processes."""
        mode = os.environ.get("LONGTAIL_TRACKING", "").lower()
        if mode == "off" or os.environ.get("RANK", "0") != "0":
            return None
        experiment_id = os.environ.get("MLFLOW_EXPERIMENT_ID")
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or DEFAULT_EXPERIMENT
        return cls(
            uri=os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI,
            experiment={"id": experiment_id} if experiment_id else {"name": name},
            parent=os.environ.get("MLFLOW_RUN_ID") or None,
            run_name=os.environ.get("MLFLOW_RUN_NAME") or None,
            execution=os.environ.get("LONGTAIL_EXECUTION") or None,
            later=mode == "later",
        )

    @property
    def local(self) -> bool:
        """Whether the store is a file of this machine."""
        return self.uri.partition(":")[0] in ("sqlite", "file") or ":" not in self.uri

    @property
    def public_uri(self) -> str:
        """The store's address without user and password."""
        return without_credentials(self.uri)


def without_credentials(uri: str) -> str:
    """The address without user and password, fit for files and messages."""
    scheme, found, rest = uri.partition("://")
    # A password may have a /, or what else ends a host; then a port that is no number shows it.
    host = rest if re.match(r"[^/?#@\[]*:(?![0-9]+([/?#]|$))", rest) else re.split(r"[/?#]", rest, maxsplit=1)[0]
    return scheme + found + rest[host.rfind("@") + 1 :]
