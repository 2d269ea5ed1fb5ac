"""K-means inside each class. See longtail/stages/cluster.py."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from components.images import CPU


@dsl.component(base_image=CPU, install_kfp_package=False)
def cluster(
    split: Input[Dataset], model: Input[Model], params: dict, clusters: Output[Artifact], metrics: Output[Metrics]
) -> None:
    """K-means inside each class."""
    from longtail.execution import execute_component

    paths = {"split": split.path, "model": model.path, "clusters": clusters.path}
    for name, value in execute_component("cluster", paths, params, metrics.path).items():
        metrics.log_metric(name, value)
