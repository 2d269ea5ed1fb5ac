"""The quintuplet table of a round."""

import numpy as np
from pydantic import BaseModel, Field, model_validator

from longtail.clusters import load_clusters
from longtail.data.splits import Split
from longtail.models.snapshot import State, current, read_embeddings
from longtail.quintuplets import pooled_table, save_tables
from longtail.stages.contract import Input, Output, stage


class Params(BaseModel, extra="forbid"):
    """The `quintuplets` section of params.yaml, with the shared seed. A pool has one of the two sizes."""

    seed: int = Field(0, ge=0)
    pool_fraction: float | None = Field(None, gt=0, le=1, description="share of each class; the paper's is 0.5")
    pool_per_class: int | None = Field(None, ge=2, description="samples of each class")
    pools: int = Field(1, ge=1, description="pools drawn, each for its share of the anchors")
    memory: int = Field(256 * 2**20, ge=2**20, exclude=True, description="bytes: a bound on the blocks of distances")

    @model_validator(mode="after")
    def _one_size(self) -> "Params":
        if (self.pool_fraction is None) == (self.pool_per_class is None):
            raise ValueError("give one of pool_fraction and pool_per_class, and set the other to null")
        return self


@stage
def run(split: Input, model: Input, clusters: Input, quintuplets: Output, *, params: Params) -> dict[str, float]:
    """Write the table of every task; return the number of quintuplets. Once training has stopped there are none."""
    state, table = State.read(model), Split.open(split)
    if state.stopped:
        save_tables(quintuplets, {})
        return {"stopped": 1.0}
    rng = np.random.default_rng([params.seed, state.round])
    tables = {}
    of_tasks = load_clusters(clusters)
    for task in table.tasks:
        labels = table.train_labels(task)
        tables[task.name] = pooled_table(
            read_embeddings(current(model), task.name),
            labels,
            of_tasks[task.name].assignment,
            pools=params.pools,
            fraction=params.pool_fraction,
            per_class=params.pool_per_class,
            rng=rng,
            memory=params.memory,
        )
    save_tables(quintuplets, tables)
    report: dict[str, float] = {}
    for name, made in tables.items():
        anchor, plus, minus, far, _ = made.members.T
        # Where a pool lacks candidates the quintuplet is in truth a triplet: the smaller the pools, the more often.
        report |= {
            f"{name}_quintuplets": float(len(made.members)),
            f"{name}_with_p_plus": float((plus != anchor).mean()),
            f"{name}_with_p_minus": float(made.has_other_cluster.mean()),
            f"{name}_whole": float(((plus != anchor) & made.has_other_cluster & (minus != far)).mean()),
        }
    return report
