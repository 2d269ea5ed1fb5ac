"""Round 0: the first network and its embeddings, or hand-crafted prior features."""

from typing import Literal

import torch
from pydantic import Field, model_validator

from longtail.artifacts.fingerprint import fingerprint
from longtail.data.dataset import PackedDataset
from longtail.data.splits import Split
from longtail.methods.base import Drawing, Given
from longtail.methods.softmax import Softmax
from longtail.network.embedder import Embedder, blueprint_for, build_network, write_snapshot
from longtail.network.network import NetworkParams
from longtail.network.snapshot import Features, Round, State, current, mean_score
from longtail.rules.search import Search
from longtail.stages.contract import Input, Output, stage, work_directory
from longtail.training.distributed import parallel
from longtail.training.loop import Optimisation, device, train
from longtail.training.outcome import last_scalars, log_score, validation_scores
from longtail.world import World

FEATURES: dict[str, Features] = {"softmax": "network", "imagenet": "backbone", "pixels": "pixels", "hog": "hog"}


class Params(Drawing):
    """The `start` section of params.yaml, with the shared seed, cluster_size, network and search."""

    seed: int = Field(0, ge=0)
    cluster_size: int = Field(200, ge=1)
    network: NetworkParams = NetworkParams()
    prior: Literal["softmax", "imagenet", "pixels", "hog"] = "softmax"
    batch: int = Field(128, ge=1, description="samples a step and task, of each process")
    optimisation: Optimisation = Optimisation(iterations=1000)
    search: Search = Search()

    @model_validator(mode="after")
    def _weights_exist(self) -> "Params":
        if self.prior == "imagenet" and self.network.backbone == "small_cnn":
            raise ValueError("the prior imagenet needs a resnet: there are no ImageNet weights of small_cnn")
        return self


@parallel
@stage
def run(dataset: Input, split: Input, model: Output, *, params: Params) -> dict[str, float]:
    """Write the model directory of round 0; return its validation score and the last losses."""
    world = World.from_environment()
    if params.prior != "softmax" and not world.first:
        return {}  # nothing is trained
    packed, table = PackedDataset.open(dataset), Split.open(split)
    rows = table.samples["row"].to_numpy()
    blueprint = blueprint_for(params.network, FEATURES[params.prior], table.tasks, packed.info.image_shape)
    torch.manual_seed(params.seed)
    curve: list[dict[str, float]] = []
    network = None
    if params.prior in ("softmax", "imagenet"):
        network = build_network(blueprint, pretrained=params.prior == "imagenet").to(device())
    if network and params.prior == "softmax":
        labels = {task.name: table.train_labels(task) for task in table.tasks}
        method = Softmax(Given(labels, params, params.seed, world.size))
        key = fingerprint(params, dataset, split, processes=world.size)
        work = work_directory(model, key)
        how = params.optimisation
        curve = train(network, method, packed, rows, how, seed=params.seed, work=work, fingerprint=key, world=world)
    if not world.first:
        return {}
    write_snapshot(current(model), Embedder(blueprint, network), packed, rows, logits=params.prior == "softmax")
    scores = validation_scores(current(model), table, params.cluster_size, params.search, params.seed)
    score = mean_score(scores)
    history = [Round(round=0, scores=scores, curve=curve)]
    state = State(round=0, best_round=0, best_score=score, stopped=False, history=history)
    state.write(model)
    log_score(state)
    return {"round": 0.0, "validation_score": score, **last_scalars(curve)}
