"""A classifier by a method that needs no rounds: class rectification, or cross-entropy with sampling and costs."""

import torch
from pydantic import BaseModel, Field, model_validator

from longtail import tracking
from longtail.artifacts.fingerprint import fingerprint
from longtail.data.dataset import PackedDataset
from longtail.data.samplers import Sampling
from longtail.data.splits import Split
from longtail.methods.base import Drawing, Given
from longtail.methods.class_rectification import ClassRectificationParams
from longtail.methods.classifier_choice import ClassifierChoice
from longtail.network.embedder import Embedder, blueprint_for, build_network, write_snapshot
from longtail.network.network import NetworkParams
from longtail.network.snapshot import Round, State, current, mean_score
from longtail.stages.contract import Input, Output, stage, work_directory
from longtail.training.distributed import parallel
from longtail.training.loop import Optimisation, device, train
from longtail.training.outcome import head_scores, last_scalars, warn_of_collapse
from longtail.world import World


class Params(BaseModel, extra="forbid"):
    """The `fit` section of params.yaml, with the shared seed and network."""

    seed: int = Field(0, ge=0)
    network: NetworkParams = NetworkParams()
    pretrained: bool = Field(False, description="begin with torchvision's ImageNet weights")
    method: ClassifierChoice = ClassRectificationParams()
    batch: int = Field(128, ge=1, description="images a step, of each process; all tasks share them")
    sampling: Sampling = Field("natural", description="natural; for one task after the other: class_even, over, under")
    cost: bool = Field(False, description="give the classes of a mini-batch equal weight in the cross-entropy")
    optimisation: Optimisation = Optimisation(iterations=1000)

    @model_validator(mode="after")
    def _weights_exist(self) -> "Params":
        if self.pretrained and self.network.backbone == "small_cnn":
            raise ValueError("pretrained needs a resnet: there are no ImageNet weights of small_cnn")
        return self


@parallel
@stage
def run(dataset: Input, split: Input, model: Output, *, params: Params) -> dict[str, float]:
    """Write the model directory; return the head's validation score and the last losses.

    There is one training and no choice among its steps: the model is that of the last one.
    """
    world = World.from_environment()
    packed, table = PackedDataset.open(dataset), Split.open(split)
    rows = table.samples["row"].to_numpy()
    blueprint = blueprint_for(params.network, "network", table.tasks, packed.info.image_shape)
    torch.manual_seed(params.seed)
    network = build_network(blueprint, pretrained=params.pretrained).to(device())
    labels = {task.name: table.train_labels(task) for task in table.tasks}
    drawing = Drawing(batch=params.batch, sampling=params.sampling, cost=params.cost, together=True)
    method = params.method.build(Given(labels, drawing, params.seed, world.size))
    key = fingerprint(params, dataset, split, processes=world.size)
    work = work_directory(model, key)
    how = params.optimisation
    curve = train(network, method, packed, rows, how, seed=params.seed, work=work, fingerprint=key, world=world)
    if not world.first:
        return {}
    write_snapshot(current(model), Embedder(blueprint, network), packed, rows, logits=True)
    warn_of_collapse(current(model), table)
    scores = head_scores(current(model), table)
    score = mean_score(scores)
    history = [Round(round=0, scores=scores, curve=curve)]
    State(judge="head", round=0, best_round=0, best_score=score, stopped=True, history=history).write(model)
    tracking.log_metrics({"validation/fit_mean_class_accuracy": score}, parent=True)
    return {"validation_score": score, **last_scalars(curve)}
