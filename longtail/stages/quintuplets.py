"""The quintuplet table of a round."""

import os
import secrets
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, Field, model_validator

from longtail.artifacts.files import remove
from longtail.artifacts.fingerprint import fingerprint
from longtail.artifacts.work import remove_on_success
from longtail.data.seed import Seed
from longtail.data.splits import Split
from longtail.errors import DataError
from longtail.network.snapshot import State, current, read_blueprint, read_embeddings
from longtail.quintuplets.pools import pooled_tables
from longtail.quintuplets.shares import class_gap, table_shares
from longtail.quintuplets.table import WHOLE, Part, QuintupletTable, load_tables, merge, save_centroids, save_tables
from longtail.rules.clusters import centroids, load_clusters
from longtail.stages.contract import Input, Output, stage

NEARER = (
    "n is nearer than p−− in the mean: the third hinge on these quintuplets is lower with all samples at one point. "
    "Lower `quintuplets.quantile` or give a class fewer candidates, unless `train.method.mining` is batch"
)


class Params(BaseModel, extra="forbid"):
    """The `quintuplets` section of params.yaml, with the shared seed. A pool has one of the two sizes."""

    seed: Seed = 0
    pool_fraction: float | None = Field(None, gt=0, le=1, description="share of each class; the paper's is 0.5")
    pool_per_class: int | None = Field(None, ge=2, description="samples of each class")
    pools: int = Field(1, ge=1, description="pools drawn, each for its share of the anchors")
    pool_per_cluster: int | None = Field(
        None,
        ge=2,
        description="p+ and p− from pools of their own, so many samples of each cluster; null: of the same",
    )
    quantile: float = Field(
        1.0, gt=0.5, le=1, description="partners at this quantile of the distances; 1: the farthest and nearest"
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", exclude=True, description="auto: a GPU where there is one")
    memory: int | None = Field(
        None, ge=2**20, exclude=True, description="bytes of scores a thread; null: 256 MiB, on a GPU 2 GiB"
    )

    @model_validator(mode="after")
    def _one_size(self) -> "Params":
        if (self.pool_fraction is None) == (self.pool_per_class is None):
            raise ValueError("give one of pool_fraction and pool_per_class, and set the other to null")
        return self


@stage
def run(split: Input, model: Input, clusters: Input, quintuplets: Output, *, params: Params) -> dict[str, float]:
    """Write the table of every task; return the number of quintuplets. Once training has stopped there are none."""
    if State.read(model).stopped:
        save_tables(quintuplets, {})
        return {"stopped": 1.0}
    parts = _parts(split, model, clusters, params)
    tables = (_merged(parts) if parts else None) or _tables(split, model, clusters, params, WHOLE)
    save_tables(quintuplets, tables)
    if parts:
        remove_on_success(parts)
    report: dict[str, float] = {}
    of_tasks = load_clusters(clusters)
    for name, made in tables.items():
        embeddings = read_embeddings(current(model), name)
        save_centroids(quintuplets, name, centroids(embeddings, of_tasks[name]))
        shares = table_shares(made, embeddings)
        report |= {f"{name}_quintuplets": float(len(made.members))}
        report |= {f"{name}_{share}": value for share, value in shares.items()}
        report |= {f"{name}_class_gap": class_gap(made, embeddings)}
        if not shares["whole"]:
            print(f"warning: no quintuplet of {name} is whole: {_missing(shares)}", file=sys.stderr)
        if report[f"{name}_class_gap"] < 0:
            print(f"warning: of {name}, {NEARER}", file=sys.stderr)
    return report


def _missing(shares: dict[str, float]) -> str:
    """What a table without a whole quintuplet lacks, and what to do."""
    chosen = "set cluster_size to null, which chooses it"
    if shares["degenerate"] == 1:
        return f"no class has two clusters, so LMLE is the triplet loss; {chosen}"
    return f"each lacks p+, p− or p−−; {chosen}, or give quintuplets.pool_per_cluster"


def write_part(split: Path, model: Path, clusters: Path, *, params: Params, part: Part) -> None:
    """Build one part of the tables, in a pod of its own, and leave it on the work volume for the step that merges them.

    Raises DataError if LONGTAIL_WORK names no directory.
    """
    parts = _parts(split, model, clusters, params)
    if parts is None:
        raise DataError("LONGTAIL_WORK names no directory; the parts of a table need one that all pods see")
    if State.read(model).stopped:
        return
    made = parts / f"{part.number}-of-{part.of}"
    # A pod that was given up may still be writing the same part, as one that was started in its place does.
    partial = made.with_name(f".{made.name}.{secrets.token_hex(4)}")
    try:
        save_tables(partial, _tables(split, model, clusters, params, part))
        if not made.is_dir():
            partial.rename(made)
    finally:
        remove(partial)


def _parts(split: Path, model: Path, clusters: Path, params: Params) -> Path | None:
    """Where the parts of this table are, if there is a volume for them: those of the same code, too."""
    volume = os.environ.get("LONGTAIL_WORK")
    if not volume:
        return None
    return Path(volume) / f"{fingerprint(params, split, model, clusters)[:16]}-parts"


def _merged(parts: Path) -> dict[str, QuintupletTable] | None:
    """The tables that other pods have built the parts of; None if a part is missing or cannot be read."""
    for first in parts.glob("0-of-*"):
        count = int(first.name.removeprefix("0-of-"))
        try:
            loaded = [load_tables(parts / f"{number}-of-{count}") for number in range(count)]
        except DataError:
            continue
        return {task: merge(tables[task] for tables in loaded) for task in loaded[0]}
    return None


def _tables(split: Path, model: Path, clusters: Path, params: Params, part: Part) -> dict[str, QuintupletTable]:
    """That part of every task's table. Tasks with the same features for embeddings share one product."""
    snapshot, of_tasks = current(model), load_clusters(clusters)
    table = Split.open(split)
    rng = np.random.default_rng([params.seed, State.read(model).round])
    shared = read_blueprint(snapshot).one_embedding and params.pools == 1
    tables: dict[str, QuintupletTable] = {}
    for group in [table.tasks] if shared else [[task] for task in table.tasks]:
        made = pooled_tables(
            read_embeddings(snapshot, group[0].name),
            [(table.train_labels(task), of_tasks[task.name].assignment) for task in group],
            pools=params.pools,
            fraction=params.pool_fraction,
            per_class=params.pool_per_class,
            per_cluster=params.pool_per_cluster,
            quantile=params.quantile,
            rng=rng,
            part=part,
            device=_device(params.device),
            memory=params.memory,
        )
        tables |= {task.name: of_task for task, of_task in zip(group, made, strict=True)}
    return tables


def _device(asked: Literal["auto", "cpu", "cuda"]) -> Literal["cpu", "cuda"]:
    # torch takes seconds to import, and this step does without it where there is no GPU.
    if asked == "cpu" or (asked == "auto" and not (Path("/dev/nvidiactl").exists() and find_spec("torch"))):
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if asked == "cuda":
        raise DataError("quintuplets.device is cuda, and torch finds no GPU; set it to auto or cpu")
    return "cpu"
