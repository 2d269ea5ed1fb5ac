"""Which pipeline params.yaml describes: LMLE's with its rounds, or that of a classifier without any."""

from pathlib import Path

from kfp.dsl.base_component import BaseComponent

from longtail.errors import DataError
from longtail.parameters import read_parameters
from pipelines.classifier import classifier
from pipelines.lmle import lmle
from pipelines.resources import Kubernetes


def chosen(params: Path, settings: Kubernetes | None) -> BaseComponent:
    """The pipeline. Raises DataError if params.yaml describes none, or several, or evaluates another model."""
    values = read_parameters(params)
    rounds, classifiers = list(values.get("rounds") or []), list(values.get("classifiers") or [])
    if bool(rounds) == bool(classifiers) or len(classifiers) > 1:
        raise DataError(
            f"{params} has the rounds {rounds} and the classifiers {classifiers}; a pipeline has either rounds, such "
            "as `rounds: {r1: {after: r0}}`, or one classifier, as `classifiers: [crl]`"
        )
    last = (rounds or classifiers)[-1]
    if values.get("evaluated") != last:
        raise DataError(f"{params}: the pipeline evaluates what comes last; set `evaluated: {last}`")
    return lmle(len(rounds), settings) if rounds else classifier(settings)
