"""The TrainJob of Kubeflow Trainer (2.2 or later) on its runtime `torch-distributed`: torchrun on every machine.

Trainer tells torchrun of the other machines (PET_NNODES, PET_NODE_RANK, PET_MASTER_ADDR …), and torchrun the stage.
"""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

Manifest = dict[str, Any]

GROUP, VERSION, PLURAL = "trainer.kubeflow.org", "v1alpha1", "trainjobs"
# By the first the network policy knows our pods; a proxy of Istio's would outlive the training, and the job never end.
LABELS = {"app.kubernetes.io/part-of": "longtail", "sidecar.istio.io/inject": "false"}
# Of the job's pods; its value is the job's name.
JOB_LABEL = "jobset.sigs.k8s.io/jobset-name"
# What the runtime calls its job, and the container in it.
NODE = "node"


class Job(BaseModel, extra="forbid"):
    """What the job asks of the cluster. Everything but the number of processes leaves the results as they are."""

    image: str
    num_nodes: int = Field(ge=1, description="machines; `batch` is of each process, so mini-batches grow with them")
    gpus_per_node: int = Field(1, ge=1, description="of each machine, one process a GPU")
    cpu: str = Field("8", description="of each machine, as its memory")
    threads: int = Field(8, ge=1, description="of each process: the libraries count the cores of the machine")
    memory: str = "32Gi"
    shared_memory: str = Field("8Gi", description="/dev/shm; part of the memory")
    hours: float = Field(48, gt=0, description="after which the job is ended")
    node_selector: dict[str, str] = {}
    tolerate: str | None = Field(None, description="key of a taint")
    user: int = Field(1000, gt=0)
    image_pull_secrets: list[str] = []
    work_claim: str = Field(description="claim of the volume with the inputs, the model and the checkpoints")
    config_maps: dict[str, list[str]] = Field({}, description="environment variables by the ConfigMap that has them")
    secrets: dict[str, list[str]] = Field({}, description="environment variables by the Secret that has them")

    @property
    def processes(self) -> int:
        """Of all machines."""
        return self.num_nodes * self.gpus_per_node


def manifest(
    name: str, job: Job, account: str, volume: Path, command: list[str], environment: dict[str, str]
) -> Manifest:
    """The TrainJob in which every process runs `python` with `command`, the claim's volume mounted at `volume`.

    Its pods run as the service account `account`, the one of the pipeline's own steps, which its user may choose.
    `environment` holds no secrets: anyone who may read the job reads it. Those are referred to, as `job.secrets` says.
    """
    patch = _patch(_pod(job, account, volume))
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "TrainJob",
        "metadata": {"name": name, "labels": LABELS},
        "spec": {
            "runtimeRef": {"name": "torch-distributed"},
            "activeDeadlineSeconds": round(job.hours * 3600),
            "trainer": {
                "image": job.image,
                "command": ["torchrun"],
                "args": command,
                "env": _environment(job, environment),
                "numNodes": job.num_nodes,
                "numProcPerNode": job.gpus_per_node,
                "resourcesPerNode": _resources(job),
            },
            "runtimePatches": [{"manager": "longtail/pipeline", "trainingRuntimeSpec": patch}],
        },
    }


def _environment(job: Job, plain: dict[str, str]) -> list[Manifest]:
    plain = {**plain, "OMP_NUM_THREADS": str(job.threads)}
    variables: list[Manifest] = [{"name": key, "value": value} for key, value in sorted(plain.items())]
    for kind, sources in (("configMapKeyRef", job.config_maps), ("secretKeyRef", job.secrets)):
        for source, keys in sources.items():
            variables += [{"name": key, "valueFrom": {kind: {"name": source, "key": key}}} for key in keys]
    return variables


def _resources(job: Job) -> Manifest:
    asked = {"cpu": job.cpu, "memory": job.memory, "nvidia.com/gpu": str(job.gpus_per_node)}
    return {"requests": asked, "limits": dict(asked)}


def _patch(pod: Manifest) -> Manifest:
    """The part of the runtime that is ours: the pod of its one job."""
    job = {"name": NODE, "template": {"spec": {"template": pod}}}
    return {"template": {"spec": {"replicatedJobs": [job]}}}


def _pod(job: Job, account: str, volume: Path) -> Manifest:
    """Hardened as the steps' pods are: no root, nothing writable but the volume and /tmp, no capabilities."""
    places: dict[str, tuple[Manifest, str]] = {
        "work": ({"persistentVolumeClaim": {"claimName": job.work_claim}}, str(volume)),
        "tmp": ({"emptyDir": {}}, "/tmp"),
        "shared-memory": ({"emptyDir": {"medium": "Memory", "sizeLimit": job.shared_memory}}, "/dev/shm"),
    }
    container = {
        "name": NODE,
        "volumeMounts": [{"name": name, "mountPath": path} for name, (_, path) in places.items()],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    spec: Manifest = {
        "serviceAccountName": account,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": job.user,
            "runAsGroup": job.user,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": name, **source} for name, (source, _) in places.items()],
    }
    if job.node_selector:
        spec["nodeSelector"] = job.node_selector
    if job.tolerate:
        spec["tolerations"] = [{"key": job.tolerate, "operator": "Exists", "effect": "NoSchedule"}]
    if job.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in job.image_pull_secrets]
    return {"metadata": {"labels": LABELS}, "spec": spec}
