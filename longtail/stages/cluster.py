"""k-means inside each class, on the embeddings of the previous round."""

import sys

import numpy as np
from pydantic import BaseModel, Field

from longtail.data.seed import Seed
from longtail.data.splits import Split
from longtail.network.snapshot import State, current, read_embeddings
from longtail.rules.clusters import ClusterSize, cluster_classes, save_clusters
from longtail.stages.contract import Input, Output, stage


class Params(BaseModel, extra="forbid"):
    """The shared seed and cluster_size; a `cluster` section of params.yaml may set them for this stage alone."""

    seed: Seed = 0
    cluster_size: ClusterSize = None
    sample_per_cluster: int | None = Field(
        None, ge=1, description="k-means from a sample of so many a cluster, faster where l is large; null: from all"
    )


@stage
def run(split: Input, model: Input, clusters: Output, *, params: Params) -> dict[str, float]:
    """Write the clusters of every task; return how many. Once training has stopped there are none to make."""
    state, table = State.read(model), Split.open(split)
    if state.stopped:
        save_clusters(clusters, {})
        return {"stopped": 1.0}
    made = {
        task.name: cluster_classes(
            read_embeddings(current(model), task.name),
            table.train_labels(task),
            params.cluster_size,
            seed=params.seed + state.round,
            sample_per_cluster=params.sample_per_cluster,
        )
        for task in table.tasks
    }
    for name, of_task in made.items():
        if warning := of_task.warning(name):
            print(f"warning: {warning}", file=sys.stderr)
    save_clusters(clusters, made)
    sizes = {name: np.bincount(of_task.assignment[of_task.assignment >= 0]) for name, of_task in made.items()}
    report = {f"{name}_clusters": float(len(counts)) for name, counts in sizes.items()}
    return report | {f"{name}_smallest_cluster": float(counts.min()) for name, counts in sizes.items()}
