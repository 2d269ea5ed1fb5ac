"""What every training begins with: fresh or pretrained weights, or hand-crafted prior features. Nothing is trained."""

from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, Field, model_validator

from longtail.data.dataset import PackedDataset
from longtail.data.seed import Seed
from longtail.data.splits import Split
from longtail.data.transforms import Augmentation
from longtail.network.backbones import OWN
from longtail.network.device import device
from longtail.network.elsewhere import take_backbone
from longtail.network.embedder import Embedder, blueprint_for, build_network, write_network, write_snapshot
from longtail.network.imported import Imported
from longtail.network.network import NetworkParams
from longtail.network.pretrained import Pretrained, WeightsFile, imagenet_weights, of_file
from longtail.network.snapshot import Features, Round, State, current, read_embeddings
from longtail.stages.contract import Input, Output, stage
from longtail.training.beginning import measure_gamma
from longtail.training.inputs import Images

FEATURES: dict[str, Features] = {
    "random": "network",
    "imagenet": "backbone",
    "file": "backbone",
    "model": "backbone",
    "pixels": "pixels",
    "hog": "hog",
}


class Params(BaseModel, extra="forbid"):
    """The `start` section of params.yaml, with the shared seed and network; `weights`: of `file` and `model`."""

    seed: Seed = 0
    network: NetworkParams = NetworkParams()
    prior: Literal["random", "imagenet", "file", "model", "pixels", "hog"] = Field(
        "random",
        description="what trainings begin with: fresh weights; those of ImageNet, of a file, of a model of another "
        "pipeline; or embeddings by pixels or HOG",
    )
    weights: WeightsFile | None = Field(None, description="of the priors `file` and `model`")
    embeddings: bool = Field(
        True,
        description="false spares a pass over all images where neither a round nor a report is of `start` itself",
    )

    @model_validator(mode="after")
    def _weights_exist(self) -> "Params":
        if self.prior in ("imagenet", "file") and self.network.backbone in OWN:
            raise ValueError(
                f"the prior {self.prior} needs a backbone of torchvision or timm, such as timm/tf_efficientnet_lite0: "
                f"nobody has pretrained weights of {self.network.backbone}"
            )
        if (self.prior in ("file", "model")) != (self.weights is not None):
            raise ValueError("the priors file and model need `weights: {path: …, sha256: …}`, and no other takes them")
        if self.prior in ("pixels", "hog") and not self.embeddings:
            raise ValueError(f"the prior {self.prior} is nothing but embeddings: leave out `embeddings: false`")
        return self

    @property
    def outside(self) -> dict[str, Path]:
        """The model of another pipeline whose weights are taken; see `stage`."""
        return {"weights": self.weights.path} if self.weights and self.prior == "model" else {}


@stage
def run(dataset: Input, split: Input, model: Output, *, params: Params) -> dict[str, float]:
    """Write the model directory that trainings follow; return the length of its embeddings, or of its backbone's
    features where these are all that it has.
    """
    packed, table = PackedDataset.open(dataset), Split.open(split)
    images = Images(packed, table.samples["row"].to_numpy(), Augmentation())
    blueprint = blueprint_for(params.network, FEATURES[params.prior], table.tasks, packed.info)
    torch.manual_seed(params.seed)
    network = None
    if params.prior in ("random", "imagenet", "file", "model"):
        network = build_network(blueprint)
        if params.prior == "model" and params.weights:
            take_backbone(network, blueprint, params.weights)
        elif isinstance(network.backbone, Imported) and params.prior != "random":
            network.backbone.take(_pretrained(network.backbone, params))
        # Pretrained statistics hold, fresh ones are none yet.
        measure_gamma(network.train(params.prior == "random"), images, table.positions("train"))
        network.to(device())
    embedder = Embedder(blueprint, network)
    if params.embeddings:
        write_snapshot(current(model), embedder, images.plain, len(table.samples), logits=False)
    else:
        write_network(current(model), embedder)
    State(rule="cluster_wise", history=[Round(round=0, scores={}, curve=[])]).write(model)
    if network and not params.embeddings:
        return {"dimensions": float(network.features)}
    return {"dimensions": float(read_embeddings(current(model), table.tasks[0].name).shape[1])}


def _pretrained(backbone: Imported, params: Params) -> Pretrained:
    if params.weights:
        return of_file(params.weights, backbone.body, backbone.name)
    return imagenet_weights(backbone.name, backbone.body)
