"""Which component trains a round: one pod with one GPU, or a TrainJob with several."""

import functools
from collections.abc import Callable

from kfp.dsl import PipelineTask

import components as step
from components import images
from longtail.train_job.manifest import Job
from pipelines.resources import ADDRESSES, MLFLOW_LOGIN, S3_KEYS, USER, Kubernetes, asked, threads


def training_step(settings: Kubernetes | None) -> Callable[..., PipelineTask]:
    """The component of `train`; several processes only where there is a cluster."""
    if settings is None or not settings.trains_by_job:
        return step.train  # type: ignore[no-any-return]
    return functools.partial(step.train_job, job=job(settings).model_dump())


def job(settings: Kubernetes) -> Job:
    """What the TrainJob asks for: what `train` would, for every machine, with the same environment."""
    request = asked("train", settings)
    return Job(
        image=images.pushed("cuda"),
        num_nodes=settings.num_nodes,
        gpus_per_node=settings.gpus_per_node,
        cpu=request.cpu,
        threads=max(1, threads(request.cpu) // settings.gpus_per_node),
        memory=request.memory,
        shared_memory=settings.shared_memory,
        hours=request.hours,
        node_selector=settings.gpu_nodes,
        tolerate=settings.tolerate,
        user=USER,
        image_pull_secrets=settings.image_pull_secrets,
        work_claim=settings.work_claim,
        config_maps={settings.addresses: list(ADDRESSES)},
        secrets={settings.s3_secret: list(S3_KEYS), settings.mlflow_secret: list(MLFLOW_LOGIN)},
    )
