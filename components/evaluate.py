"""Metrics on the test subset, the report and the confusion matrix. See longtail/stages/evaluate.py."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, ClassificationMetrics, Dataset, Input, Metrics, Model, Output

from components.images import CPU


@dsl.component(base_image=CPU, install_kfp_package=False)
def evaluate(
    dataset: Input[Dataset],
    split: Input[Dataset],
    start: Input[Model],
    model: Input[Model],
    index: Input[Model],
    params: dict,
    report: Output[Artifact],
    metrics: Output[Metrics],
    confusion: Output[ClassificationMetrics],
    page: Output[HTML],
) -> None:
    """Metrics on the test subset, the report and the confusion matrix."""
    import shutil

    import pandas as pd

    from longtail.execution import execute_component

    def show() -> None:
        """What the Kubeflow dashboard shows: the report as a page, and the confusion matrix."""
        shutil.copyfile(f"{report.path}/report.html", page.path)
        answers = pd.read_csv(f"{report.path}/plots/confusion.csv", dtype=str)
        classes = sorted({*answers["actual"], *answers["predicted"]})
        counts = pd.crosstab(answers["actual"], answers["predicted"]).reindex(index=classes, columns=classes)
        confusion.log_confusion_matrix(classes, counts.fillna(0).to_numpy().tolist())

    paths = {"dataset": dataset.path, "split": split.path, "start": start.path, "model": model.path}
    paths |= {"index": index.path, "report": report.path}
    for name, value in execute_component("evaluate", paths, params, metrics.path, show).items():
        metrics.log_metric(name, value)
