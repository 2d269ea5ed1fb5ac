"""Training a classifier without rounds: what the stages `fit` and `baseline` have in common."""

from collections.abc import Callable
from pathlib import Path

import torch
from pydantic import BaseModel, Field, model_validator

from longtail.data.dataset import PackedDataset
from longtail.data.splits import Split
from longtail.fingerprint import fingerprint
from longtail.methods.base import Drawing, Given, Method
from longtail.models.embedder import Embedder, blueprint_for, build_network, write_snapshot
from longtail.models.network import NetworkParams
from longtail.models.snapshot import Round, State, current, mean_score
from longtail.rounds import head_scores, last_scalars, log_score
from longtail.stages.contract import work_directory
from longtail.training import Optimisation, device, train
from longtail.world import World


class ClassifierParams(BaseModel, extra="forbid"):
    """What every training of a classifier is told, the shared seed and network among it."""

    seed: int = Field(0, ge=0)
    network: NetworkParams = NetworkParams()
    pretrained: bool = Field(False, description="begin with torchvision's ImageNet weights")
    batch: int = Field(128, ge=1, description="images a step, of each process; all tasks share them")
    optimisation: Optimisation = Optimisation(iterations=1000)

    @model_validator(mode="after")
    def _weights_exist(self) -> "ClassifierParams":
        if self.pretrained and self.network.backbone == "small_cnn":
            raise ValueError("pretrained needs a resnet: there are no ImageNet weights of small_cnn")
        return self


def fit_classifier(
    build: Callable[[Given], Method],
    drawing: Drawing,
    params: ClassifierParams,
    dataset: Path,
    split: Path,
    model: Path,
) -> dict[str, float]:
    """Train a network by a method, write its model directory; return the head's validation score and the last losses.

    There is one training and no choice among its steps: the model is that of the last one.
    """
    world = World.from_environment()
    packed, table = PackedDataset.open(dataset), Split.open(split)
    rows = table.samples["row"].to_numpy()
    blueprint = blueprint_for(params.network, "network", table.tasks, packed.info.image_shape)
    torch.manual_seed(params.seed)
    network = build_network(blueprint, pretrained=params.pretrained).to(device())
    labels = {task.name: table.train_labels(task) for task in table.tasks}
    method = build(Given(labels, drawing, params.seed, world.size))
    key = fingerprint(params, dataset, split, processes=world.size)
    work = work_directory(model, key)
    how = params.optimisation
    curve = train(network, method, packed, rows, how, seed=params.seed, work=work, fingerprint=key, world=world)
    if not world.first:
        return {}
    write_snapshot(current(model), Embedder(blueprint, network), packed, rows, logits=True)
    scores = head_scores(current(model), table)
    history = [Round(round=0, scores=scores, curve=curve)]
    score = mean_score(scores)
    state = State(judge="head", round=0, best_round=0, best_score=score, stopped=True, history=history)
    state.write(model)
    log_score(state)
    return {"validation_score": score, **last_scalars(curve)}
