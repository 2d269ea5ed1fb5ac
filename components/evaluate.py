"""Metrics on the test subset, the models side by side, and the report. See longtail/stages/evaluate.py."""

import functools
import inspect
import linecache

from kfp import dsl
from kfp.dsl import HTML, Artifact, ClassificationMetrics, Dataset, Input, Metrics, Model, Output
from kfp.dsl.base_component import BaseComponent

from components.images import CPU


@functools.cache
def evaluate(models: int) -> BaseComponent:
    """The component for so many models, with an input index_1, index_2 … for each, and `models`, their names.

    kfp takes no list of artifacts that several tasks make, and a component's source as it stands in a file: so this
    writes the source for that number of inputs, and shows it to whoever asks for it.
    """
    names = [f"index_{number}" for number in range(1, models + 1)]
    source = inspect.getsource(_evaluate).replace("def _evaluate", "def evaluate")
    source = source.replace("index_1: Input[Model]", ", ".join(f"{name}: Input[Model]" for name in names))
    source = source.replace("[index_1]", f"[{', '.join(names)}]")
    file = f"<evaluate {models} models>"
    linecache.cache[file] = len(source), None, source.splitlines(keepends=True), file
    namespace = dict(globals())
    exec(compile(source, file, "exec"), namespace)
    return dsl.component(base_image=CPU, install_kfp_package=False)(namespace["evaluate"])


def _evaluate(
    dataset: Input[Dataset],
    split: Input[Dataset],
    index_1: Input[Model],
    models: list,
    params: dict,
    report: Output[Artifact],
    metrics: Output[Metrics],
    confusion: Output[ClassificationMetrics],
    page: Output[HTML],
) -> None:
    """Metrics on the test subset, the models side by side, and the report."""
    import shutil
    import tempfile
    from pathlib import Path

    import pandas as pd

    from longtail.execution import execute_component

    def show() -> None:
        """What the Kubeflow dashboard shows: the report as a page, and the confusion matrix."""
        shutil.copyfile(f"{report.path}/report.html", page.path)
        # A class may be called NA, None or null.
        answers = pd.read_csv(f"{report.path}/plots/confusion.csv", dtype=str, keep_default_na=False)
        classes = sorted({*answers["actual"], *answers["predicted"]})
        counts = pd.crosstab(answers["actual"], answers["predicted"]).reindex(index=classes, columns=classes)
        if classes:  # of very many the report alone has a picture
            confusion.log_confusion_matrix(classes, counts.fillna(0).to_numpy().tolist())

    with tempfile.TemporaryDirectory() as indexes:
        # By the names of the graph: the parameters of a run may name fewer, or in another order.
        for name, index in zip(models, [index_1], strict=True):
            (Path(indexes) / name).symlink_to(index.path)
        paths = {"dataset": dataset.path, "split": split.path, "indexes": indexes, "report": report.path}
        for name, value in execute_component("evaluate", paths, params, metrics.path, show).items():
            metrics.log_metric(name, value)
