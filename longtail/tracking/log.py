"""What a step may log from anywhere. Outside a tracked step these functions check their arguments and do nothing.

`parent=True` logs on the pipeline's parent run as well as on the step's own: for what pipelines are compared by.
"""

import math
import re
import shutil
import tempfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import longtail
from longtail.tracking.identity import valid_key
from longtail.tracking.registry import CARD
from longtail.tracking.run import current

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from longtail.data.dataset import Task


def log_metrics(metrics: dict[str, float], step: int | None = None, *, parent: bool = False) -> None:
    """Log scalars; a "/" in a name groups the charts. Raises ValueError if one is not finite: then none is logged."""
    bad = [name for name, value in metrics.items() if not math.isfinite(value)]
    if bad:
        raise ValueError(f"these metrics are not finite numbers: {', '.join(bad)}")
    if run := current():
        values = {valid_key(name): float(value) for name, value in metrics.items()}
        run.log("metrics", values=values, step=step or 0, parent=parent)


def set_tag(key: str, value: str, *, parent: bool = False) -> None:
    """Log a short text, such as a decision or a version."""
    if run := current():
        run.log("tag", key=valid_key(key), value=str(value), parent=parent)


def set_description(text: str) -> None:
    """Say on the pipeline's page, above what it was made of, what was found."""
    if run := current():
        run.log("description", text=text, parent=True)


def log_artifact(path: Path, folder: str | None = None, *, parent: bool = False) -> None:
    """Log a copy of a file or directory, as it is now. Raises FileNotFoundError if there is none."""
    if not path.exists():
        raise FileNotFoundError(f"no artifact to log: {path}")
    if run := current():
        run.log("artifact", file=run.journal.keep(path), folder=folder, parent=parent)


def log_table(table: "pd.DataFrame", file: str, *, parent: bool = False) -> None:
    """Log a table as the CSV `file` ("tables/label.csv"), which MLflow shows as a sortable table."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / Path(file).name
        table.to_csv(path, index=False)
        folder = Path(file).parent.as_posix()
        log_artifact(path, None if folder == "." else folder, parent=parent)


def log_model(
    index: Path,
    *,
    tasks: "list[Task]",
    example: "npt.NDArray[np.uint8]",
    card: Path | None = None,
    metrics: Iterable[str] = (),
    comparison: dict[str, str | float] | None = None,
    parent: bool = False,
) -> None:
    """Log the classifier as a pyfunc: network, rules, and the sources of this package that run them. Register it under
    the name of its data, as the challenger.

    `index` is what the stage of that name wrote; `example` are one or a few images, uint8, N×H×W×C; `card` is a file of
    Markdown that says what the model is. `metrics` names those logged before that are the model's. `comparison` is its
    paired test: `baseline`, and in [−1, 1] `mean`, `low` and `high` of the difference to it. Nothing is loaded or
    predicted here.
    """
    if (run := current()) is None:
        return
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory) / "model"
        _collect(folder, index, example, card)
        classes = {task.name: len(task.classes) for task in tasks}
        shown = {"metrics": [valid_key(name) for name in metrics], "comparison": comparison or {}}
        what = {"classes": classes, "requirements": requirements(), **shown}
        run.log("model", file=run.journal.keep(folder), **what, parent=parent)


def _collect(folder: Path, index: Path, example: "npt.NDArray[np.uint8]", card: Path | None) -> None:
    import numpy as np

    package = Path(longtail.__file__).parent
    shutil.copytree(package, folder / "code" / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    # It holds the embeddings and logits of the data set too, which no prediction needs.
    shutil.copytree(index, folder / "index", ignore=shutil.ignore_patterns("embeddings-*", "logits-*"))
    np.save(folder / "example.npy", example, allow_pickle=False)
    if card is not None:
        shutil.copy(card, folder / CARD)


def requirements() -> list[str]:
    """What the model needs to run: this package's dependencies at their installed versions, torch, and MLflow."""
    wanted = []
    for line in metadata.requires("longtail") or []:
        requirement, _, marker = line.partition(";")
        # Of the extra `track` what serves a model, not what measures a step.
        if not marker.strip() or "'torch'" in marker or requirement.startswith("mlflow>"):
            wanted.append(_pinned(requirement.strip()))
    return wanted


def _pinned(requirement: str) -> str:
    name = re.split(r"[<>=!~ \[]", requirement, maxsplit=1)[0]
    try:
        return f"{name}=={metadata.version(name)}"
    except metadata.PackageNotFoundError:
        # The step that logs the model runs without torch.
        return requirement
