"""The Kubernetes API, as far as a TrainJob needs it; the only place that imports `kubernetes`."""

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from longtail.errors import DataError
from longtail.train_job.manifest import GROUP, JOB_LABEL, NODE, PLURAL, VERSION, Manifest

IDENTITY = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TIMEOUT = 30.0  # seconds, of one request
GONE_AFTER = 300.0  # seconds, more than a pod's grace period
FOUND_NOT, CONFLICT, TOO_MANY = 404, 409, 429


class UnavailableError(DataError):
    """The API does not answer now; it may soon."""


class State(NamedTuple):
    """Where a job stands: "Complete", "Failed", "Deleted" (but still there), or "" while it is under way; and why."""

    condition: str
    reason: str = ""


class Cluster:
    """TrainJobs of one namespace, and their logs. Every call raises DataError, as one sentence, if it is refused.

    `account` is the service account that asks, and that the jobs' pods run as.
    """

    def __init__(self, api: client.ApiClient, namespace: str, account: str) -> None:
        self.account = account
        self._jobs, self._pods, self._namespace = client.CustomObjectsApi(api), client.CoreV1Api(api), namespace
        self._where = {"group": GROUP, "version": VERSION, "plural": PLURAL, "namespace": namespace}

    @classmethod
    def around_this_pod(cls) -> Self:
        """The cluster, namespace and account of the pod that this is. Raises DataError elsewhere."""
        try:
            config.load_incluster_config()
            namespace, token = (
                (IDENTITY / name).read_text(encoding="utf-8").strip() for name in ("namespace", "token")
            )
            return cls(client.ApiClient(), namespace, _account(token))
        except (config.ConfigException, OSError) as error:
            raise DataError(
                f"training on several machines needs a pod of a cluster, and this is none: {error}"
            ) from error

    def create(self, manifest: Manifest) -> bool:
        """Create a job; False if there is one of that name."""
        try:
            with _explained("create a TrainJob"):
                self._jobs.create_namespaced_custom_object(**self._where, body=manifest, _request_timeout=TIMEOUT)
        except _ExpectedError as error:
            if error.status == CONFLICT:
                return False
            raise DataError(
                "this cluster knows no TrainJobs: Kubeflow Trainer 2.2 or later must be installed"
            ) from error
        return True

    def state(self, name: str) -> State | None:
        """Where the job stands; None if there is none."""
        try:
            with _explained("follow a TrainJob"):
                job = self._jobs.get_namespaced_custom_object(**self._where, name=name, _request_timeout=TIMEOUT)
        except _ExpectedError:
            return None
        if job["metadata"].get("deletionTimestamp"):
            return State("Deleted")
        for condition in job.get("status", {}).get("conditions", []):
            if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
                return State(condition["type"], f"{condition.get('reason', '')}: {condition.get('message', '')}")
        return State("")

    def delete(self, name: str) -> None:
        """Ask for the job and its pods to be deleted, if there is one; do not wait."""
        try:
            with _explained("delete a TrainJob"):
                how = {"name": name, "propagation_policy": "Foreground", "_request_timeout": TIMEOUT}
                self._jobs.delete_namespaced_custom_object(**self._where, **how)
        except _ExpectedError:
            return

    def wait_until_gone(self, name: str, poll: float) -> None:
        """Wait until a deleted job is gone with its pods, asking every `poll` seconds."""
        end = time.monotonic() + GONE_AFTER
        while self.state(name) is not None:
            if time.monotonic() > end:
                raise DataError(f"the TrainJob {name} was deleted and does not go; look at its pods")
            time.sleep(poll)

    def log(self, name: str, lines: int) -> list[str]:
        """The last lines of the first process's machine, each after its time (RFC 3339); empty before it has begun."""
        try:
            with _explained("read its TrainJob's log"):
                pods = self._pods_of(name, ",batch.kubernetes.io/job-completion-index=0")
                if not pods:
                    return []
                newest = max(pods, key=lambda pod: pod.metadata.creation_timestamp)
                how = {"container": NODE, "tail_lines": lines, "timestamps": True, "_request_timeout": TIMEOUT}
                # As bytes: the client would read a line that looks like JSON as such.
                answer = self._pods.read_namespaced_pod_log(
                    newest.metadata.name, self._namespace, **how, _preload_content=False
                )
        except _ExpectedError:
            return []
        # Not splitlines: the rest of a line of which it ends one half has no time.
        return [line for line in str(answer.data.decode(errors="replace")).split("\n") if line]

    def last_words(self, name: str) -> str | None:
        """The sentence with which a process of the job ended, and its container: see last_words.py."""
        try:
            with _explained("look at its TrainJob's pods"):
                containers = [one for pod in self._pods_of(name) for one in pod.status.container_statuses or []]
        except _ExpectedError:
            return None
        # The container that has ended, or the one before it where the runtime has started it again.
        states = [state for one in containers if one.name == NODE for state in (one.state, one.last_state)]
        ends = [state.terminated for state in states if state]
        return next((" ".join(end.message.split()) for end in ends if end and end.exit_code and end.message), None)

    def _pods_of(self, name: str, which: str = "") -> list[Any]:
        selector = f"{JOB_LABEL}={name}{which}"
        pods = self._pods.list_namespaced_pod(self._namespace, label_selector=selector, _request_timeout=TIMEOUT)
        found: list[Any] = pods.items
        return found


class _ExpectedError(Exception):
    """An answer that the caller expects."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@contextmanager
def _explained(doing: str) -> Iterator[None]:
    """What the API answers, as one sentence; as _ExpectedError if there is no such thing, or one already."""
    try:
        yield
    except ApiException as error:
        status = int(error.status or 0)
        # A container that has not begun has no log yet: 400.
        if status in (FOUND_NOT, CONFLICT) or (status == 400 and "log" in doing):
            raise _ExpectedError(status) from error
        why = f"{status} {error.reason}: {_message(error)}"
        if status >= 500 or status in (0, TOO_MANY):
            raise UnavailableError(f"the Kubernetes API does not answer ({why})") from error
        raise DataError(f"the Kubernetes API does not let this step {doing} ({why})") from error
    except HTTPError as error:
        raise UnavailableError(f"the Kubernetes API does not answer ({type(error).__name__})") from error


def _account(token: str) -> str:
    """The service account of a token: its subject is "system:serviceaccount:NAMESPACE:NAME".

    Not from the pod's specification, which the API has: a host name, all that a pod knows of its own name, is cut.
    """
    try:
        claims = token.split(".")[1]
        subject: str = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["sub"]
    except (ValueError, LookupError, TypeError) as error:
        raise DataError(f"the token in {IDENTITY} cannot be read") from error
    if not subject.startswith("system:serviceaccount:"):
        raise DataError(f"the token in {IDENTITY} is of {subject!r}, which is no service account")
    return subject.rpartition(":")[2]


def _message(error: ApiException) -> str:
    body: Any = error.body or ""
    try:
        return " ".join(str(json.loads(body)["message"]).split())
    except (ValueError, KeyError, TypeError):
        return " ".join(str(body).split())[:200]
