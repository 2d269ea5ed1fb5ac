"""The boundary benchmark on edge maps: ODS, OIS and AP. See longtail/stages/score.py."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Output

from components.images import CUDA


# scikit-image, which thins the maps, is in the image of torch.
@dsl.component(base_image=CUDA, install_kfp_package=False)
def score(
    dataset: Input[Dataset],
    maps: Input[Artifact],
    params: dict,
    scores: Output[Artifact],
    metrics: Output[Metrics],
    page: Output[HTML],
) -> None:
    """The boundary benchmark on edge maps: ODS, OIS and AP."""
    import shutil

    from longtail.execution import execute_component

    paths = {"dataset": dataset.path, "maps": maps.path, "scores": scores.path}

    def show() -> None:
        """What the Kubeflow dashboard shows: the report as a page."""
        shutil.copyfile(f"{scores.path}/report.html", page.path)

    for name, value in execute_component("score", paths, params, metrics.path, show).items():
        metrics.log_metric(name, value)
