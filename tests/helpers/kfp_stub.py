"""A stub of the API of Kubeflow Pipelines (v2beta1), because a cluster cannot run where the tests do.

A real HTTP server: it checks what a request must hold as the real one does, keeps it for the test to look at, and
fails in the ways that a test asks for.
"""

import json
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from google.protobuf import json_format
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec, PlatformSpec

API = "/apis/v2beta1"


class Refused(Exception):  # noqa: N818
    """Ends a request with a status, as the server words it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class KfpStub:
    """Set the attributes before a request; read `requests` ("METHOD path", body) and `runs` after it."""

    def __init__(self) -> None:
        self.token: str | None = None
        self.namespace: str | None = None  # of several users; None: a cluster of one
        self.failures: list[int | str] = []  # answers of the next requests: a status, "hang", "page" or "login"
        self.states: list[dict[str, str]] = []  # of the tasks (and "run") at one look after another
        self.message = "ValueError: loss is not finite"
        self.requests: list[tuple[str, Any]] = []
        self.experiments: dict[str, dict[str, Any]] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, url: str, body: Any, token: str | None) -> dict[str, Any]:
        parts, query = urlsplit(url), parse_qs(urlsplit(url).query)
        self.requests.append((f"{method} {parts.path}", body))
        if self.token is not None and token != f"Bearer {self.token}":
            raise Refused(401, "Request header error: there is no user identity header")
        match [method, *parts.path.removeprefix(API).strip("/").split("/")]:
            case ["GET", "healthz"]:
                return {"multi_user": self.namespace is not None}
            case ["GET", "experiments"]:
                return self._find_experiments(query)
            case ["POST", "experiments"]:
                return self._create_experiment(body)
            case ["POST", "runs"]:
                return self._create_run(body)
            case ["GET", "runs", run_id]:
                return self._show(run_id)
        raise Refused(404, "Not Found")

    def _check_namespace(self, namespace: str | None) -> None:
        # With one user the server takes any namespace for none.
        if self.namespace is not None and namespace != self.namespace:
            raise Refused(403 if namespace else 400, f"User is not authorized in the namespace {namespace!r}")

    def _find_experiments(self, query: dict[str, list[str]]) -> dict[str, Any]:
        self._check_namespace(query.get("namespace", [None])[0])
        (predicate,) = json.loads(query["filter"][0])["predicates"]
        assert (predicate["key"], predicate["operation"]) == ("display_name", 1)
        found = self.experiments.get(predicate["stringValue"])
        return {"experiments": [found], "total_size": 1} if found else {}

    def _create_experiment(self, body: dict[str, Any]) -> dict[str, Any]:
        self._check_namespace(body.get("namespace"))
        if body["display_name"] in self.experiments:
            raise Refused(409, f"The name {body['display_name']} already exists")
        self.experiments[body["display_name"]] = body | {"experiment_id": str(uuid.uuid4())}
        return self.experiments[body["display_name"]]

    def _create_run(self, body: dict[str, Any]) -> dict[str, Any]:
        if body["experiment_id"] not in {made["experiment_id"] for made in self.experiments.values()}:
            raise Refused(404, "Experiment not found")
        _check_specification(body)
        run_id = str(uuid.uuid4())
        self.runs[run_id] = body | {"run_id": run_id, "created_at": "2026-01-01T00:00:00Z", "state": "PENDING"}
        return self.runs[run_id]

    def _show(self, run_id: str) -> dict[str, Any]:
        if run_id not in self.runs:
            raise Refused(404, f"Run {run_id} not found")
        if self.states:
            states = self.states.pop(0) if len(self.states) > 1 else self.states[0]
            details = [self._detail(name, state) for name, state in states.items() if name != "run"]
            self.runs[run_id] |= {"state": states["run"], "run_details": {"task_details": details}}
        return self.runs[run_id]

    def _detail(self, name: str, state: str) -> dict[str, Any]:
        error = {"error": {"code": 13, "message": self.message}} if state == "FAILED" else {}
        return {"task_id": name, "display_name": name, "state": state, **error}


def _check_specification(body: dict[str, Any]) -> None:
    """What the real server refuses, and that nothing of the Kubernetes settings is lost."""
    try:
        specification = json_format.ParseDict(body["pipeline_spec"]["pipeline_spec"], PipelineSpec())
        platform = json_format.ParseDict(body["pipeline_spec"]["platform_spec"], PlatformSpec())
    except (KeyError, json_format.ParseError) as error:
        raise Refused(400, f"Failed to parse the pipeline spec: {error!r}") from error
    if not platform.platforms["kubernetes"].deployment_spec.executors:
        raise Refused(400, "the platform spec is empty")
    inputs = specification.root.input_definitions.parameters
    given = body["runtime_config"].get("parameters", {})
    needed = {name for name, parameter in inputs.items() if not parameter.HasField("default_value")}
    if not needed <= given.keys() <= inputs.keys():
        raise Refused(400, f"parameters {sorted(given)} do not fit {sorted(inputs)}")


def _handler(stub: KfpStub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length)) if length else None
            failure = stub.failures.pop(0) if stub.failures else None
            if failure == "hang":
                time.sleep(5)
            elif failure == "page":
                self._write(200, b"<html>Welcome</html>", "text/html")
            elif failure == "login":
                self._write(302, b"", "text/html", "https://login.example/auth")
            elif failure is not None:
                assert isinstance(failure, int)
                self._write(failure, b"<html>nothing here</html>" if failure == 404 else _error(failure))
            else:
                self._answer(body)

        do_POST = do_GET  # noqa: N815

        def _answer(self, body: Any) -> None:
            try:
                answer = stub.answer(self.command, self.path, body, self.headers.get("Authorization"))
                self._write(200, json.dumps(answer).encode())
            except Refused as refused:
                self._write(refused.status, _error(refused.status, refused.message))

        def _write(self, status: int, content: bytes, kind: str = "application/json", place: str = "") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            if place:
                self.send_header("Location", place)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: Any) -> None:
            """Print nothing."""

    return Handler


def _error(status: int, message: str = "rpc error:\n  something went wrong") -> bytes:
    return json.dumps({"error": message, "code": 13, "message": message, "details": [status]}).encode()
