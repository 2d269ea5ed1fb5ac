"""What every training begins with: fresh or pretrained weights, or hand-crafted prior features. Nothing is trained."""

from typing import Literal

import torch
from pydantic import BaseModel, model_validator

from longtail.data.dataset import PackedDataset
from longtail.data.seed import Seed
from longtail.data.splits import Split
from longtail.network.backbones import PRETRAINED
from longtail.network.embedder import Embedder, blueprint_for, build_network, write_snapshot
from longtail.network.network import NetworkParams
from longtail.network.snapshot import Features, Round, State, current, read_embeddings
from longtail.stages.contract import Input, Output, stage

FEATURES: dict[str, Features] = {"random": "network", "imagenet": "backbone", "pixels": "pixels", "hog": "hog"}


class Params(BaseModel, extra="forbid"):
    """The `start` section of params.yaml, with the shared seed and network."""

    seed: Seed = 0
    network: NetworkParams = NetworkParams()
    prior: Literal["random", "imagenet", "pixels", "hog"] = "random"

    @model_validator(mode="after")
    def _weights_exist(self) -> "Params":
        if self.prior == "imagenet" and self.network.backbone not in PRETRAINED:
            raise ValueError(
                f"the prior imagenet needs one of {', '.join(PRETRAINED)}: there are no ImageNet weights of "
                f"{self.network.backbone}"
            )
        return self


@stage
def run(dataset: Input, split: Input, model: Output, *, params: Params) -> dict[str, float]:
    """Write the model directory that trainings follow; return the length of its embeddings."""
    packed, table = PackedDataset.open(dataset), Split.open(split)
    blueprint = blueprint_for(params.network, FEATURES[params.prior], table.tasks, packed.info)
    torch.manual_seed(params.seed)
    network = None
    if params.prior in ("random", "imagenet"):
        network = build_network(blueprint, pretrained=params.prior == "imagenet")
    write_snapshot(current(model), Embedder(blueprint, network), packed, table.samples["row"].to_numpy(), logits=False)
    State(rule="cluster_wise", history=[Round(round=0, scores={}, curve=[])]).write(model)
    return {"dimensions": float(read_embeddings(current(model), table.tasks[0].name).shape[1])}
