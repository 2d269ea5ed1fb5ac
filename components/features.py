"""The backbone's features of every image. See longtail/stages/features.py."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Model, Output

from components.images import CUDA


@dsl.component(base_image=CUDA, install_kfp_package=False)
def features(
    dataset: Input[Dataset],
    split: Input[Dataset],
    model: Input[Model],
    params: dict,
    features: Output[Dataset],
    metrics: Output[Metrics],
) -> None:
    """The backbone's features of every image."""
    from longtail.execution import execute_component

    paths = {"dataset": dataset.path, "split": split.path, "model": model.path, "features": features.path}
    for name, value in execute_component("features", paths, params, metrics.path).items():
        metrics.log_metric(name, value)
