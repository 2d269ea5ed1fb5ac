"""Which pipeline params.yaml describes: LMLE's with its rounds, or that of a classifier without any."""

from pathlib import Path

from kfp.dsl.base_component import BaseComponent

from longtail.errors import DataError
from longtail.parameters import last_model, read_parameters
from pipelines.classifier import classifier
from pipelines.lmle import lmle
from pipelines.resources import Kubernetes


def chosen(params: Path, settings: Kubernetes | None) -> BaseComponent:
    """The pipeline. Raises DataError if params.yaml describes none, or asks for what its steps cannot do."""
    values = read_parameters(params)
    last_model(values, params)
    if values.get("rounds"):
        return lmle(len(values["rounds"]), settings)
    if settings and settings.trains_by_job:
        raise DataError(f"{params}: `fit` trains on one GPU; leave num_nodes and gpus_per_node of `kubernetes` at 1")
    return classifier(settings)
