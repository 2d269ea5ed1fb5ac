"""The quintuplet table. See longtail/stages/quintuplets.py."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from components.images import CPU


@dsl.component(base_image=CPU, install_kfp_package=False)
def quintuplets(
    split: Input[Dataset],
    model: Input[Model],
    clusters: Input[Artifact],
    params: dict,
    quintuplets: Output[Artifact],
    metrics: Output[Metrics],
) -> None:
    """The quintuplet table."""
    from longtail.execution import execute_component

    paths = {"split": split.path, "model": model.path, "clusters": clusters.path, "quintuplets": quintuplets.path}
    for name, value in execute_component("quintuplets", paths, params, metrics.path).items():
        metrics.log_metric(name, value)
