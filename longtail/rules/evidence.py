"""What a rule is fitted on, read from a snapshot and the split."""

from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from longtail.data.dataset import Task
from longtail.data.splits import Split
from longtail.errors import DataError
from longtail.network.snapshot import read_blueprint, read_embeddings, read_logits, read_priors
from longtail.rules.base import Evidence, Floats, Linear
from longtail.rules.search import Measure, Search


def read_evidence(
    snapshot: Path,
    split: Split,
    task: Task,
    *,
    cluster_size: int | None,
    search: Search,
    seed: int,
    target: Floats | None = None,
    measure: Measure = "mean_class_accuracy",
) -> Evidence:
    """The evidence of a task: training samples to fit on, validation samples to choose by."""
    logits = read_logits(snapshot, task.name)
    prior, earlier, *_ = *read_priors(snapshot, task.name), None, None
    return Evidence(
        read_embeddings(snapshot, task.name),
        logits,
        split.train_labels(task),
        split.scored_labels(task, "validation"),
        len(task.classes),
        cluster_size,
        search,
        seed,
        prior,
        target,
        None if logits is None else read_linear(snapshot, task.name),
        earlier,
        split.labels_of(task, "validation"),
        measure,
    )


def read_linear(snapshot: Path, task: str) -> Linear | None:
    """The task's classifier; None if it is no linear layer, whose own are weights and biases and nothing else: modules
    within it, as a projection that is trained beside it, have no part in the scores.
    """
    file, numbers = snapshot / "network.safetensors", [one.name for one in read_blueprint(snapshot).tasks]
    if task not in numbers:
        raise DataError(f"{snapshot / 'network.json'} has no task {task!r}; train the model again")
    prefix = f"classifiers.{numbers.index(task)}."
    try:
        with safe_open(file, "numpy") as weights:
            names = [name for name in weights.offset_keys() if name.startswith(prefix)]
            inner = {name.removeprefix(prefix): name for name in names}
            own = {short: weights.get_tensor(name) for short, name in inner.items() if "." not in short}
    except (SafetensorError, OSError) as error:
        raise DataError(f"cannot read {file}: {error}; train the model again") from error
    if set(own) != {"weight", "bias"}:
        return None
    return Linear(np.linalg.norm(own["weight"], axis=1), own["bias"])
