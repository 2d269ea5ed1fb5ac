"""The boundary benchmark on edge maps: ODS, OIS and AP. See longtail/stages/score.py."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Output

from components.images import CUDA


# scikit-image, which thins the maps, is in the image of torch.
@dsl.component(base_image=CUDA, install_kfp_package=False)
def score(
    dataset: Input[Dataset], maps: Input[Artifact], params: dict, scores: Output[Artifact], metrics: Output[Metrics]
) -> None:
    """The boundary benchmark on edge maps: ODS, OIS and AP."""
    from longtail.execution import execute_component

    paths = {"dataset": dataset.path, "maps": maps.path, "scores": scores.path}
    for name, value in execute_component("score", paths, params, metrics.path).items():
        metrics.log_metric(name, value)
