"""The rules by which a model answers. See longtail/stages/index.py."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Model, Output

from components.images import CPU


@dsl.component(base_image=CPU, install_kfp_package=False)
def index(
    split: Input[Dataset], model: Input[Model], params: dict, index: Output[Model], metrics: Output[Metrics]
) -> None:
    """The rules by which a model answers."""
    from longtail.execution import execute_component

    paths = {"split": split.path, "model": model.path, "index": index.path}
    for name, value in execute_component("index", paths, params, metrics.path).items():
        metrics.log_metric(name, value)
