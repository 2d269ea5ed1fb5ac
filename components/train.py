"""One round of training. See longtail/stages/train.py."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from components.images import CUDA


@dsl.component(base_image=CUDA, install_kfp_package=False)
def train(
    dataset: Input[Dataset],
    split: Input[Dataset],
    previous: Input[Model],
    quintuplets: Input[Artifact],
    params: dict,
    model: Output[Model],
    metrics: Output[Metrics],
) -> None:
    """One round of training."""
    from longtail.execution import execute_component

    paths = {
        "dataset": dataset.path,
        "split": split.path,
        "previous": previous.path,
        "quintuplets": quintuplets.path,
        "model": model.path,
    }
    for name, value in execute_component("train", paths, params, metrics.path).items():
        metrics.log_metric(name, value)
