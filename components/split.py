"""Train, validation and test. See longtail/stages/split.py."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Output

from components.images import CPU


@dsl.component(base_image=CPU, install_kfp_package=False)
def split(dataset: Input[Dataset], params: dict, split: Output[Dataset], metrics: Output[Metrics]) -> None:
    """Train, validation and test."""
    from longtail.execution import execute_component

    paths = {"dataset": dataset.path, "split": split.path}
    for name, value in execute_component("split", paths, params, metrics.path).items():
        metrics.log_metric(name, value)
