"""One round of training on several machines. See longtail/train_job/launcher.py."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from components.images import CUDA


# Of the same name as the component whose place it takes: the pipeline's tasks keep theirs.
@dsl.component(base_image=CUDA, install_kfp_package=False)
def train(
    dataset: Input[Dataset],
    split: Input[Dataset],
    previous: Input[Model],
    quintuplets: Input[Artifact],
    params: dict,
    job: dict,
    model: Output[Model],
    metrics: Output[Metrics],
) -> None:
    """One round of training on several machines."""
    from longtail.train_job.launcher import launch_component

    inputs = {
        "dataset": dataset.path,
        "split": split.path,
        "previous": previous.path,
        "quintuplets": quintuplets.path,
    }
    for name, value in launch_component(inputs, model.path, params, job, metrics.path).items():
        metrics.log_metric(name, value)
