"""What a step asks of the cluster: the one place. The settings are the section `kubernetes` of params.yaml."""

from kfp import kubernetes
from kfp.dsl import PipelineTask
from pydantic import BaseModel, Field, field_validator

from components import images
from longtail.wrong_values import nearest
from pipelines.quantities import Cpu, LabelKey, LabelValue, Memory, Name

USER = 1000  # of the images
GPU = "nvidia.com/gpu"
WORK = "/work"
TORCH_STEPS = ("start", "features", "fit", "train", "detect")
TORCH_IMAGE = (*TORCH_STEPS, "score")  # which needs scikit-image, and no GPU
# The environment, from the ConfigMap `addresses` and the two secrets.
ADDRESSES = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION")
S3_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
MLFLOW_LOGIN = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")


class Request(BaseModel, extra="forbid"):
    """What one step asks for; limits are the same as requests, so that a pod is never evicted for what it was given."""

    cpu: Cpu = Field("2", description='CPUs, such as "8", "1.5" or "500m"')
    memory: Memory = Field("8Gi", description='a whole number and its unit, such as "32Gi" or "1536Mi"')
    # Of less than a second Kubernetes would make none, and it takes no more than 68 years.
    hours: float = Field(2, ge=0.01, le=8760, allow_inf_nan=False, description="after which a pod is ended")


REQUESTS = {
    "fetch": Request(cpu="2", memory="4Gi"),
    "split": Request(cpu="1", memory="4Gi"),
    "start": Request(cpu="8", memory="32Gi", hours=6),
    "features": Request(cpu="8", memory="32Gi", hours=24),
    "cluster": Request(cpu="4", memory="16Gi", hours=6),
    "quintuplets": Request(cpu="8", memory="32Gi", hours=24),
    "train": Request(cpu="8", memory="32Gi", hours=48),
    "fit": Request(cpu="8", memory="32Gi", hours=48),
    "index": Request(cpu="4", memory="16Gi"),
    "evaluate": Request(cpu="4", memory="16Gi"),
    "detect": Request(cpu="8", memory="32Gi", hours=12),
    "score": Request(cpu="8", memory="16Gi", hours=4),
}


# Of `train` where it only follows the job that trains. An hour more than that one has: its own end comes first.
LAUNCHER = Request(cpu="1", memory="4Gi")
LAUNCHER_HOURS = 1
# Of machines, GPUs, pods or attempts: more are a slip, and would fail on the cluster alone.
MOST = 1000


class Kubernetes(BaseModel, extra="forbid"):
    """The section `kubernetes` of params.yaml: all about the cluster. Only the number of GPUs can change results, and
    that of CPUs, which is that of threads, their last bits.
    """

    gpu_nodes: dict[LabelKey, LabelValue] = Field(
        {"nvidia.com/gpu.present": "true"}, description="node selector of the GPU pool"
    )
    cpu_nodes: dict[LabelKey, LabelValue] | None = Field(
        None, description="node selector of the torch-free steps; none: GPU pool"
    )
    tolerate: LabelKey = Field(GPU, description="key of the GPU pool's taint")
    quintuplets_on_gpu: bool = Field(False, description="whether `quintuplets` asks for a GPU")
    quintuplets_pods: int = Field(
        1,
        ge=1,
        le=MOST,
        description="pods that build a round's table together; more than one on several machines need a "
        "work_claim that all can mount",
    )
    num_nodes: int = Field(
        1,
        ge=1,
        le=MOST,
        description="machines that train a round together. More than one GPU in all needs Kubeflow Trainer, more than "
        "one machine a work_claim that all can mount. `batch` is of each GPU: mini-batches grow with their number",
    )
    gpus_per_node: int = Field(
        1, ge=1, le=MOST, description="of those machines; the request of `train` is for each machine"
    )
    requests: dict[str, Request] = Field({}, description="by step, instead of the defaults")
    shared_memory: Memory = Field("8Gi", description="/dev/shm of the steps with torch; part of their memory")
    retries: int = Field(2, ge=0, le=MOST, description="of a step whose pod failed")
    image_pull_secrets: list[Name] = Field([], description="of a private registry")
    addresses: Name = Field(
        "longtail-settings", description="ConfigMap of the tracking server's and the store's addresses"
    )
    s3_secret: Name = Field("longtail-s3", description="Secret with the store's key")
    mlflow_secret: Name = Field("longtail-mlflow", description="Secret with the tracking server's account")
    work_claim: Name = Field("longtail-work", description="volume claim for what a retried pod needs of the first")

    @field_validator("requests")
    @classmethod
    def _of_steps(cls, requests: dict[str, Request]) -> dict[str, Request]:
        for step in requests:
            if step not in REQUESTS:
                raise ValueError(f"{step!r} is no step{nearest(step, list(REQUESTS))}")
        return requests

    @property
    def trains_by_job(self) -> bool:
        """Whether `train` asks for several processes, which Kubeflow Trainer starts."""
        return self.num_nodes * self.gpus_per_node > 1


def asked(step: str, settings: Kubernetes) -> Request:
    """What the step asks for; `train` on several machines, for each of them."""
    return settings.requests.get(step, REQUESTS[step])


def uses_gpu(step: str, settings: Kubernetes) -> bool:
    """Whether the step asks for a GPU."""
    if step == "train" and settings.trains_by_job:
        return False  # the job's pods do
    return step in TORCH_STEPS or (step == "quintuplets" and settings.quintuplets_on_gpu)


def place(task: PipelineTask, name: str, settings: Kubernetes | None) -> PipelineTask:
    """Name the task and say what it needs; `name` is the step, or the step of a round such as "train@r2", or a part
    of one such as "quintuplets.part1@r2".

    Without `settings` it only gets its name: nothing is asked of one's own machine.
    """
    task.set_display_name(name).set_env_variable("LONGTAIL_STEP", name)
    if settings is None:
        return task
    step = name.partition("@")[0].partition(".")[0]
    task.set_container_image(images.pushed("cuda" if step in TORCH_IMAGE or uses_gpu(step, settings) else "cpu"))
    request = asked(step, settings)
    if step == "train" and settings.trains_by_job:
        request = LAUNCHER.model_copy(update={"hours": request.hours + LAUNCHER_HOURS})
    task.set_cpu_request(request.cpu).set_cpu_limit(request.cpu)
    # The libraries count the cores of the node, not those of the pod.
    task.set_env_variable("OMP_NUM_THREADS", str(threads(request.cpu)))
    task.set_memory_request(request.memory).set_memory_limit(request.memory)
    task.set_retry(settings.retries, backoff_duration="30s", backoff_factor=2, backoff_max_duration="600s")
    kubernetes.set_timeout(task, round(request.hours * 3600))
    _choose_nodes(task, step, settings)
    # By this label the network policy knows a step's pod.
    kubernetes.add_pod_label(task, "app.kubernetes.io/part-of", "longtail")
    _harden(task, settings)
    _connect(task, settings)
    _keep_work(task, settings)
    if step in TORCH_STEPS:
        # Loaders pass batches through shared memory.
        kubernetes.empty_dir_mount(task, "shared-memory", "/dev/shm", "Memory", settings.shared_memory)
    return task


def threads(cpu: str) -> int:
    """As many threads as the request has whole CPUs ("8", "1.5", "500m"), one at least."""
    return max(1, int(cpu.removesuffix("m")) // 1000 if cpu.endswith("m") else int(float(cpu)))


def _choose_nodes(task: PipelineTask, step: str, settings: Kubernetes) -> None:
    if uses_gpu(step, settings):
        task.set_accelerator_type(GPU).set_accelerator_limit(1)
    elsewhere = settings.cpu_nodes is not None and not uses_gpu(step, settings)
    for label, value in ((settings.cpu_nodes if elsewhere else settings.gpu_nodes) or {}).items():
        kubernetes.add_node_selector(task, label, value)
    if not elsewhere:
        kubernetes.add_toleration(task, key=settings.tolerate, operator="Exists", effect="NoSchedule")


def _harden(task: PipelineTask, settings: Kubernetes) -> None:
    # The backend adds: no privilege escalation, no capabilities, the runtime's seccomp profile.
    kubernetes.set_security_context(task, run_as_user=USER, run_as_group=USER, run_as_non_root=True)
    kubernetes.empty_dir_mount(task, "tmp", "/tmp")
    if settings.image_pull_secrets:
        kubernetes.set_image_pull_secrets(task, list(settings.image_pull_secrets))


def _connect(task: PipelineTask, settings: Kubernetes) -> None:
    """Addresses and credentials, and the id by which all steps of one execution find the same MLflow run."""
    kubernetes.use_field_path_as_env(task, "LONGTAIL_EXECUTION", "metadata.labels['pipeline/runid']")
    kubernetes.use_config_map_as_env(task, settings.addresses, {name: name for name in ADDRESSES})
    kubernetes.use_secret_as_env(task, settings.s3_secret, {name: name for name in S3_KEYS})
    kubernetes.use_secret_as_env(task, settings.mlflow_secret, {name: name for name in MLFLOW_LOGIN})


def _keep_work(task: PipelineTask, settings: Kubernetes) -> None:
    """A retried pod finds on the volume what the first one had: checkpoints, fetched objects, what MLflow missed."""
    kubernetes.mount_pvc(task, pvc_name=settings.work_claim, mount_path=WORK)
    task.set_env_variable("LONGTAIL_WORK", WORK)
