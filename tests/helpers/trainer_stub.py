"""A stand-in for the Kubernetes API and Kubeflow Trainer, for where no cluster can run.

It takes a TrainJob as the API would, and runs its command as Trainer and its runtime `torch-distributed` would: one
process of torchrun for each machine, with the variables that Trainer gives it. It does not schedule, mount or restrict.
"""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psutil
from kubernetes import client

from longtail.train_job.cluster import Cluster

NAMESPACE, ACCOUNT = "runs", "somebody"
Tree = dict[str, Any]


class Run:
    """A TrainJob whose machines are processes here."""

    def __init__(self, job: Tree, known: dict[str, dict[str, str]], folder: Path) -> None:
        self.job, self.log = job, list[str]()
        folder.mkdir()
        trainer = job["spec"]["trainer"]
        self.machines = [
            subprocess.Popen(
                [*trainer["command"], *trainer["args"]],
                cwd=folder,
                env=environment | {"LONGTAIL_LAST_WORDS": str(folder / f"last-words-{rank}")},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
            for rank, environment in enumerate(environments(trainer, known))
        ]
        self.folder = folder
        self.readers = [threading.Thread(target=self._read, args=(rank,)) for rank in range(len(self.machines))]
        for reader in self.readers:
            reader.start()

    def _read(self, rank: int) -> None:
        output = self.machines[rank].stdout
        assert output is not None
        for line in output:
            if rank == 0:
                self.log.append(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}000Z {line}")

    def conditions(self) -> list[Tree]:
        """As the controller reports them; nothing while the job is under way."""
        codes = [machine.poll() for machine in self.machines]
        if any(codes):
            self.stop()
            return [condition("Failed", "FailedJobs", "jobset failed due to one or more job failures")]
        if None in codes or any(reader.is_alive() for reader in self.readers):
            return [condition("Suspended", "Resumed", "TrainJob is resumed") | {"status": "False"}]
        return [condition("Complete", "AllJobsCompleted", "jobset completed successfully")]

    def container(self, rank: int) -> Tree:
        """The state of a machine's container, as the kubelet reports it."""
        code, words = self.machines[rank].poll(), self.folder / f"last-words-{rank}"
        message = words.read_text() if words.exists() else ""
        state = {"running": {}} if code is None else {"terminated": {"exitCode": code, "message": message}}
        return container_status(state=state)

    def stop(self) -> None:
        for machine in self.machines:
            with contextlib.suppress(psutil.NoSuchProcess):
                tree = psutil.Process(machine.pid)
                for process in [*tree.children(recursive=True), tree]:
                    process.kill()
            machine.wait()


def environments(trainer: Tree, known: dict[str, dict[str, str]]) -> list[dict[str, str]]:
    """The variables of each machine: the image's, the job's, and Trainer's own for torchrun."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    image = {key: os.environ[key] for key in ("HOME", "OMP_NUM_THREADS", "PYTHONPATH") if key in os.environ}
    given = {one["name"]: value_of(one, known) for one in trainer["env"]}
    nodes = {"PET_NNODES": str(trainer["numNodes"]), "PET_NPROC_PER_NODE": str(trainer["numProcPerNode"])}
    nodes |= {"PET_MASTER_ADDR": "127.0.0.1", "PET_MASTER_PORT": str(free_port())}
    ranks = range(trainer["numNodes"])
    return [image | {"PATH": path} | given | nodes | {"PET_NODE_RANK": str(rank)} for rank in ranks]


def container_status(**states: Tree) -> Tree:
    return {"name": "node", "image": "", "imageID": "", "ready": False, "restartCount": 0, **states}


def condition(kind: str, reason: str, message: str) -> Tree:
    return {"type": kind, "status": "True", "reason": reason, "message": message}


def value_of(variable: Tree, known: dict[str, dict[str, str]]) -> str:
    """As the kubelet finds it: in the job, or in the ConfigMap or Secret that the job names."""
    if "value" in variable:
        return str(variable["value"])
    (reference,) = variable["valueFrom"].values()
    return known[reference["name"]][reference["key"]]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Trainer:
    """The API's server, its jobs, what it was asked ("create trainjobs"), and what it answers instead of the truth."""

    def __init__(self, folder: Path, known: dict[str, dict[str, str]]) -> None:
        self.folder, self.known = folder, known
        self.jobs: dict[str, Run] = {}
        self.created: list[Tree] = []
        self.asked: set[str] = set()
        self.refuse: dict[str, list[tuple[int, str]]] = {}  # answers to give first, by what is asked
        trainer = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else {}
                status, content = trainer.answer(self.command, self.path, body)
                data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/plain" if isinstance(content, str) else "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_DELETE = _answer  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def cluster(self) -> Cluster:
        configuration = client.Configuration(host=self.url)
        configuration.retries = False
        return Cluster(client.ApiClient(configuration), NAMESPACE, ACCOUNT)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        for run in self.jobs.values():
            run.stop()

    def answer(self, method: str, url: str, body: Tree) -> tuple[int, Tree | str]:
        path, query = urlsplit(url).path, parse_qs(urlsplit(url).query)
        jobs = re.fullmatch(rf"/apis/trainer.kubeflow.org/v1alpha1/namespaces/{NAMESPACE}/trainjobs(?:/(.+))?", path)
        pods = re.fullmatch(rf"/api/v1/namespaces/{NAMESPACE}/pods(?:/(.+)/log)?", path)
        verb = {"POST": "create", "DELETE": "delete"}.get(method, "get")
        if jobs:
            asked = f"{verb} trainjobs"
        elif pods:
            asked = "get pods/log" if pods[1] else "list pods"
        else:
            return failure(404, "the server could not find the requested resource")
        self.asked.add(asked)
        if self.refuse.get(asked):
            return failure(*self.refuse[asked].pop(0))
        if jobs:
            return self._jobs(method, jobs[1], body)
        assert pods
        return self._log(pods[1]) if pods[1] else self._pods(query["labelSelector"][0])

    def _jobs(self, method: str, name: str | None, body: Tree) -> tuple[int, Tree]:
        if method == "POST":
            name = str(body["metadata"]["name"])
            if name in self.jobs:
                return failure(409, f'trainjobs.trainer.kubeflow.org "{name}" already exists')
            self.created.append(body)
            self.jobs[name] = Run(body, self.known, self.folder / f"pods-{len(self.created)}")
            return 201, body
        if name not in self.jobs:
            return failure(404, f'trainjobs.trainer.kubeflow.org "{name}" not found')
        if method == "DELETE":
            self.jobs.pop(name).stop()
            return 200, {"kind": "Status", "status": "Success"}
        run = self.jobs[name]
        return 200, {**run.job, "status": {"conditions": run.conditions()}}

    def _pods(self, selector: str) -> tuple[int, Tree]:
        labels = dict(one.split("=") for one in selector.split(","))
        name, only = labels["jobset.sigs.k8s.io/jobset-name"], labels.get("batch.kubernetes.io/job-completion-index")
        run = self.jobs.get(name)
        ranks = [rank for rank in range(len(run.machines) if run else 0) if only in (None, str(rank))]
        items = [pod(f"{name}-node-0-{rank}-x", run.container(rank)) for rank in ranks] if run else []
        return 200, {"kind": "PodList", "items": items}

    def _log(self, pod: str) -> tuple[int, str]:
        return 200, "".join(self.jobs[pod.removesuffix("-node-0-0-x")].log)


def pod(name: str, container: Tree) -> Tree:
    metadata = {"name": name, "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {"metadata": metadata, "status": {"containerStatuses": [container]}}


def failure(status: int, message: str) -> tuple[int, Tree]:
    return status, {"kind": "Status", "status": "Failure", "message": message, "code": status}
