"""The API server of Kubeflow Pipelines: a client that neither hangs nor chatters, and its refusals as sentences."""

import io
import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import urllib3
from kfp import Client
from kfp.client.token_credentials_base import TokenCredentialsBase
from kfp_server_api import ApiException

from longtail.errors import DataError

# Seconds to connect and to answer: kfp itself waits for ever, and asks an unwell server for its health for 25 s.
TIMEOUT = (5.0, 20.0)
# A refused connection is tried once more. A redirect leads to a login page, whose HTML the client takes for an answer.
RETRIES = urllib3.Retry(total=None, connect=1, read=0, redirect=0, status=0, other=0, raise_on_redirect=False)
MESSAGE = 300  # characters of the server's own words


@dataclass(frozen=True)
class Access:
    """Where the server is and who asks. `page` is the address of a run's page."""

    host: str
    namespace: str | None = None
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None

    def page(self, run_id: str) -> str:
        return f"{self.host}/#/runs/details/{run_id}"


def access(host: str | None, namespace: str | None, token: str | None, token_file: Path | None) -> Access:
    """Check what the user gave. Raises DataError; no message ever holds the token."""
    if not host:
        raise DataError("say where Kubeflow Pipelines answers: --host http://localhost:8888, or KFP_HOST")
    if not host.startswith(("http://", "https://")):
        raise DataError(f"the host {host!r} must start with http:// or https://")
    token = read_token(token_file) if token_file else token
    if token and not (token.isascii() and token.isprintable() and " " not in token):
        raise DataError("the token has a space, a line break or another character that no token has")
    return Access(host.rstrip("/"), namespace or None, token or None, token_file)


def read_token(file: Path) -> str:
    """Raises DataError if the file cannot be read."""
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read a token from {file}: {error}") from error


class _FileToken(TokenCredentialsBase):  # type: ignore[misc]
    """Reads the file for every request: a cluster renews its tokens, and a run may outlive one."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def refresh_api_key_hook(self, config: Any) -> None:
        config.api_key["authorization"] = read_token(self.file)


def connect(to: Access) -> Client:
    """A client whose requests end. Raises DataError if the server does not answer, or wants a namespace."""
    with explained(to, "to answer"), quietly():
        client = _BoundedClient(
            host=to.host,
            namespace=to.namespace or "kubeflow",  # which is kfp's word for none
            existing_token=None if to.token_file else to.token,
            credentials=_FileToken(to.token_file) if to.token_file else None,
        )
        rest = client._run_api.api_client.rest_client
        unbounded = rest.request

        def request(*arguments: Any, _request_timeout: Any = None, **more: Any) -> Any:
            return unbounded(*arguments, _request_timeout=_request_timeout or TIMEOUT, **more)

        rest.request = request
    return client


class _BoundedClient(Client):  # type: ignore[misc]
    def _load_config(self, *arguments: Any, **more: Any) -> Any:
        config = super()._load_config(*arguments, **more)
        logging.getLogger("urllib3").setLevel(logging.ERROR)  # it tells of every second attempt
        config.retries = RETRIES
        config.ssl_ca_cert = os.environ.get("SSL_CERT_FILE") or config.ssl_ca_cert
        return config

    def _load_context_setting_or_default(self) -> None:
        # Not the namespace that some earlier command has left in ~/.config/kfp.
        self._context_setting = {"namespace": ""}

    def get_kfp_healthz(self, sleep_duration: int = 0) -> Any:
        health = self._healthz_api.healthz_service_get_healthz(_request_timeout=TIMEOUT)
        if health.multi_user:
            raise DataError("this Kubeflow has several users: give your namespace with --namespace, or KFP_NAMESPACE")
        return health


@contextmanager
def quietly() -> Iterator[None]:
    """Without kfp's warnings and the links that it prints: they are not in this command's words."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


@contextmanager
def explained(to: Access, what: str) -> Iterator[None]:
    """Turn whatever the server or the network says into one DataError; `what` was asked of the server: "to …"."""
    try:
        yield
    except ApiException as error:
        raise DataError(_refusal(error, to, what)) from error
    except urllib3.exceptions.HTTPError as error:
        raise DataError(_silence(error, to)) from error
    except ValueError as error:  # of the client itself: two experiments of one name, say
        raise DataError(f"{to.host} was asked {what}: {' '.join(str(error).split())}") from error


def passing(error: Exception) -> bool:
    """Whether asking again may help."""
    if isinstance(error, ApiException):
        return error.status is not None and (error.status >= 500 or error.status == 429)
    return isinstance(error, urllib3.exceptions.HTTPError)


def _refusal(error: ApiException, to: Access, what: str) -> str:
    status, said = error.status or 0, _words(error)
    if 300 <= status < 400:
        place = (error.headers or {}).get("Location", "another address")
        return f"{to.host} sends elsewhere ({status}), to {place}: give that as --host, or a token if it is a login"
    if status >= 500:
        return f"{to.host} failed {what} ({status}): {said}; try again, or look at the logs of ml-pipeline"
    if status == 404 and not _is_json(error):
        return f"there is no Kubeflow Pipelines at {to.host} (404); behind Kubeflow's dashboard it is at …/pipeline"
    where = f"the namespace {to.namespace}" if to.namespace else "its namespace"
    known = {
        401: f"{to.host} does not know you (401): the token is {'expired or wrong' if to.token else 'missing'}; "
        "give a new one with --token-file or in KFP_TOKEN",
        403: f"{to.host} does not allow you {what} in {where} (403): ask its owner for access; it says: {said}",
        404: f"{to.host} was asked {what}, and has nothing of that name (404): {said}",
        409: f"{to.host} was asked {what}, and that name is taken (409): {said}; choose another",
    }
    return known.get(status, f"{to.host} refuses {what} ({status or 'no answer'}): {said}")


def _words(error: ApiException) -> str:
    """What the server says, in one line."""
    body = json.loads(error.body) if _is_json(error) else {}
    said = " ".join(str(body.get("message") or body.get("error") or error.reason).split())
    return said if len(said) <= MESSAGE else said[: MESSAGE - 1] + "…"


def _is_json(error: ApiException) -> bool:
    try:
        return isinstance(json.loads(error.body or ""), dict)
    except ValueError:
        return False


def _silence(error: urllib3.exceptions.HTTPError, to: Access) -> str:
    cause = getattr(error, "reason", None) or error
    if isinstance(cause, urllib3.exceptions.SSLError):
        return f"cannot trust the certificate of {to.host}: {cause}; SSL_CERT_FILE may name your authority's"
    refused = isinstance(cause, urllib3.exceptions.NewConnectionError)  # which counts as a TimeoutError, too
    if isinstance(cause, urllib3.exceptions.TimeoutError) and not refused:
        return f"{to.host} does not answer in time; check the address and the network, or try again"
    reason = getattr(getattr(cause, "__cause__", None), "strerror", None) or " ".join(str(cause).split())[:MESSAGE]
    return f"cannot reach {to.host}: {reason}; check the address, the network and `kubectl port-forward`"
