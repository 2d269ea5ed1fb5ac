"""One round of training; also writes the embeddings for the next clustering."""

import shutil

import torch
from pydantic import Field

from longtail.artifacts.fingerprint import fingerprint
from longtail.data.dataset import PackedDataset
from longtail.data.splits import Split
from longtail.methods.base import Drawing, Given
from longtail.methods.choice import Choice
from longtail.methods.lmle import LMLEParams
from longtail.network.embedder import Embedder, blueprint_for, write_snapshot
from longtail.network.network import NetworkParams
from longtail.network.snapshot import State, best, current, mean_score
from longtail.quintuplets import load_tables
from longtail.rules.search import Search
from longtail.stages.contract import Input, Output, stage, work_directory
from longtail.training.distributed import parallel
from longtail.training.loop import Optimisation, train
from longtail.training.outcome import (
    head_scores,
    initial_network,
    judged_by,
    last_scalars,
    log_score,
    next_state,
    validation_scores,
    warn_of_collapse,
)
from longtail.world import World


class Params(Drawing):
    """The `train` section of params.yaml, with the shared seed, cluster_size, network and search."""

    seed: int = Field(0, ge=0)
    cluster_size: int = Field(200, ge=1)
    network: NetworkParams = NetworkParams()
    method: Choice = LMLEParams()
    batch: int = Field(40, ge=1, description="anchors a step and task, of each process")
    optimisation: Optimisation = Optimisation(iterations=5000)
    patience: int = Field(1, ge=1, description="rounds without improvement before training stops")
    search: Search = Search()


@parallel
@stage
def run(
    dataset: Input, split: Input, previous: Input, quintuplets: Input, model: Output, *, params: Params
) -> dict[str, float]:
    """Write the model directory of the next round; a stopped one is passed through."""
    world = World.from_environment()
    state = State.read(previous)
    if state.stopped:
        if world.first:
            shutil.copytree(previous, model)
        return {"round": float(state.round), "stopped": 1.0, "best_score": state.best_score}
    packed, table = PackedDataset.open(dataset), Split.open(split)
    rows = table.samples["row"].to_numpy()
    number = state.round + 1
    seed = params.seed + number
    blueprint = blueprint_for(params.network, "network", table.tasks, packed.info.image_shape)
    torch.manual_seed(seed)
    network = initial_network(current(previous), blueprint)
    labels = {task.name: table.train_labels(task) for task in table.tasks}
    method = params.method.build(Given(labels, params, seed, world.size, load_tables(quintuplets)))
    key = fingerprint(params, dataset, split, previous, quintuplets, processes=world.size)
    work = work_directory(model, key)
    curve = train(
        network, method, packed, rows, params.optimisation, seed=seed, work=work, fingerprint=key, world=world
    )
    if not world.first:
        return {}
    write_snapshot(current(model), Embedder(blueprint, network), packed, rows, logits=method.trains_classifier)
    warn_of_collapse(current(model), table)
    if method.trains_classifier:
        scores = head_scores(current(model), table)
    else:
        scores = validation_scores(current(model), table, params.cluster_size, params.search, params.seed)
    state = judged_by("head" if method.trains_classifier else "cluster_wise", state, previous, table)
    state = next_state(state, scores, curve, params.patience)
    if state.best_round != number:
        shutil.copytree(best(previous), model / "best")
    state.write(model)
    log_score(state)
    report = {"round": float(number), "stopped": float(state.stopped), "best_round": float(state.best_round)}
    return report | {"validation_score": mean_score(scores), **last_scalars(curve)}
