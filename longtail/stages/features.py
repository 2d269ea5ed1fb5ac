"""The backbone's features of every image, made once: trainings `on` them learn what is on top of it in seconds."""

from collections.abc import Iterator

import numpy as np
import torch
from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn

from longtail.data.dataset import PackedDataset
from longtail.data.feature_set import FeatureInfo, Floats, Ints, Precision, write_features
from longtail.data.seed import Seed
from longtail.data.splits import Split
from longtail.data.transforms import Augmentation, draw, to_float
from longtail.errors import DataError
from longtail.network.device import device
from longtail.network.embedder import block_size, load_embedder
from longtail.network.inference import Inference
from longtail.network.network import backbone_digest
from longtail.network.snapshot import best
from longtail.progress import Advance
from longtail.stages.contract import Input, Output, Weights, stage
from longtail.training.inputs import Images


class Params(BaseModel, extra="forbid"):
    """An entry of `features` in params.yaml, with the shared seed."""

    seed: Seed = 0
    name: str = Field("features", pattern=r"^\w+$", description="the key of the entry")
    precision: Precision = Field("float16", description="in which features are kept")
    views: int = Field(0, ge=0, le=100, description="augmented views of each training image, beside the image itself")
    augmentation: Augmentation = Field(Augmentation(), description="how `views` are made")

    @model_validator(mode="after")
    def _views_differ(self) -> "Params":
        if bool(self.views) != (self.augmentation != Augmentation()):
            raise ValueError("`views` and `augmentation` go together: how many views to store, and how they are varied")
        return self


@stage
def run(dataset: Input, split: Input, model: Weights, features: Output, *, params: Params) -> dict[str, float]:
    """Write the features of every sample of the split, by the backbone of `model`; return their length. Where that
    network pools maps (`network.pooling`), they are the maps, and the pooling is part of the trainings on them.

    The backbone works in float32 on a GPU too. Raises DataError if the model has none, or they are not finite.
    """
    packed, table = PackedDataset.open(dataset), Split.open(split)
    embedder = load_embedder(best(model))
    network = embedder.network
    if network is None:
        raise DataError(f"{model} has hand-crafted features and no backbone: set `start.prior` to random or imagenet")
    if embedder.inference != Inference():
        raise DataError(
            f"{model} sees images by its `inference`, and features are of the images as they are: let the features be "
            "`after` a training without it"
        )
    digest, backbone = backbone_digest(network), network.backbone.to(device()).eval()
    images = Images(packed, table.samples["row"].to_numpy(), params.augmentation)
    everything, training = np.arange(len(table.samples)), table.positions("train")
    extractor = _Extractor(backbone, images, params)
    _, *positions, length = next(extractor.plain(everything[:1])).shape
    info = FeatureInfo(
        dataset=packed.info,
        backbone=digest,
        samples=len(everything),
        length=length,
        positions=positions[0] if positions else None,
        precision=params.precision,
        views=params.views,
    )
    plain, views = extractor.plain(everything), extractor.views(training)
    write_features(features, info, plain, views, len(training), images.colours)
    return {"length": float(length), "samples": float(len(everything))}


class _Extractor:
    """Images through the backbone, as many at a time as it likes best."""

    def __init__(self, backbone: nn.Module, images: Images, params: Params) -> None:
        self.backbone, self.images, self.params = backbone, images, params
        self.size = block_size(images.info.image_shape)

    def plain(self, samples: Ints) -> Iterator[Floats]:
        """Blocks of n×F, of the images as they are."""
        with Advance("features", len(samples)) as advance:
            for block in self._blocks(len(samples)):
                yield self._features(to_float(torch.from_numpy(self.images.plain(samples[block])).to(device())))
                advance.add(len(samples[block]))

    def views(self, samples: Ints) -> Iterator[Floats]:
        """Blocks of n×V×F, of augmented images: what varies one is a function of the seed, the view and its place."""
        drawn = [draw(len(samples), self._generator(view)) for view in range(self.params.views)]
        with Advance("features: views", len(samples)) as advance:
            for block in self._blocks(len(samples)):
                yield np.stack([self._view(samples[block], of_view[:, block]) for of_view in drawn], axis=1)
                advance.add(len(samples[block]))

    def _view(self, samples: Ints, drawn: Tensor) -> Floats:
        loaded = self.images.load(samples, 1, drawn).to(device())
        return self._features(self.images.finish(loaded, drawn.to(device())))

    def _features(self, images: Tensor) -> Floats:
        with torch.inference_mode():
            features: Floats = self.backbone(images).float().cpu().numpy()
        return features

    def _generator(self, view: int) -> torch.Generator:
        return torch.Generator().manual_seed(int(np.random.SeedSequence([self.params.seed, view]).generate_state(1)[0]))

    def _blocks(self, count: int) -> list[slice]:
        return [slice(start, start + self.size) for start in range(0, count, self.size)]
