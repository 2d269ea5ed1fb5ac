"""A training of `fits`. See longtail/stages/fit.py."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Model, Output

from components.images import CUDA


@dsl.component(base_image=CUDA, install_kfp_package=False)
def fit(
    dataset: Input[Dataset],
    split: Input[Dataset],
    previous: Input[Model],
    params: dict,
    model: Output[Model],
    metrics: Output[Metrics],
) -> None:
    """A training of `fits`."""
    from longtail.execution import execute_component

    paths = {"dataset": dataset.path, "split": split.path, "previous": previous.path, "model": model.path}
    for name, value in execute_component("fit", paths, params, metrics.path).items():
        metrics.log_metric(name, value)
