"""What every training begins with. See longtail/stages/start.py."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Model, Output

from components.images import CUDA


@dsl.component(base_image=CUDA, install_kfp_package=False)
def start(
    dataset: Input[Dataset], split: Input[Dataset], params: dict, model: Output[Model], metrics: Output[Metrics]
) -> None:
    """What every training begins with."""
    from longtail.execution import execute_component

    paths = {"dataset": dataset.path, "split": split.path, "model": model.path}
    for name, value in execute_component("start", paths, params, metrics.path).items():
        metrics.log_metric(name, value)
