"""What a rule is fitted on, read from a snapshot and the split."""

from pathlib import Path

from longtail.data.dataset import Task
from longtail.data.splits import Split
from longtail.network.snapshot import read_embeddings, read_logits, read_prior
from longtail.rules.base import Evidence, Floats
from longtail.rules.search import Search


def read_evidence(
    snapshot: Path,
    split: Split,
    task: Task,
    *,
    cluster_size: int,
    search: Search,
    seed: int,
    target: Floats | None = None,
) -> Evidence:
    """The evidence of a task: training samples to fit on, validation samples to choose by."""
    return Evidence(
        read_embeddings(snapshot, task.name),
        read_logits(snapshot, task.name),
        split.train_labels(task),
        split.scored_labels(task, "validation"),
        len(task.classes),
        cluster_size,
        search,
        seed,
        read_prior(snapshot, task.name),
        target,
    )
