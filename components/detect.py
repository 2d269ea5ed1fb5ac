"""An edge map of every photograph of a subset. See longtail/stages/detect.py."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from components.images import CUDA


@dsl.component(base_image=CUDA, install_kfp_package=False)
def detect(
    dataset: Input[Dataset],
    split: Input[Dataset],
    index: Input[Model],
    params: dict,
    maps: Output[Artifact],
    metrics: Output[Metrics],
) -> None:
    """An edge map of every photograph of a subset."""
    from longtail.execution import execute_component

    paths = {"dataset": dataset.path, "split": split.path, "index": index.path, "maps": maps.path}
    for name, value in execute_component("detect", paths, params, metrics.path).items():
        metrics.log_metric(name, value)
