"""The packed dataset from a DVC remote, by its md5. See longtail/stages/fetch.py."""

from kfp import dsl
from kfp.dsl import Dataset, Metrics, Output

from components.images import CPU


@dsl.component(base_image=CPU, install_kfp_package=False)
def fetch(params: dict, dataset: Output[Dataset], metrics: Output[Metrics]) -> None:
    """The packed dataset from a DVC remote, by its md5."""
    from longtail.execution import execute_component

    paths = {"dataset": dataset.path}
    for name, value in execute_component("fetch", paths, params, metrics.path).items():
        metrics.log_metric(name, value)
