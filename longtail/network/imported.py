"""Backbones of torchvision and timm: what they are given, and their blocks from the image up."""

from typing import Any

import torch
from torch import Tensor, nn

from longtail.errors import DataError
from longtail.network.pretrained import IMAGENET, TIMM, Channels, Pretrained, configuration


class Imported(nn.Module):
    """A network of torchvision or timm without its last layer; grey images are repeated over the three channels."""

    def __init__(self, name: str, image_shape: tuple[int, int, int], *, maps: bool = False) -> None:
        """`maps`: the vectors of the positions of its last map in place of their mean."""
        super().__init__()
        self.name, self.maps = name, maps
        self.body, self.features = _timm(name, image_shape) if name.startswith(TIMM) else _torchvision(name)
        if maps:
            self._leave_out_pooling(image_shape)
        self.mean: Tensor
        self.deviation: Tensor
        # Of our images in [−1, 1]; part of the weights, as these mean nothing without them.
        self.register_buffer("mean", torch.empty(3, 1, 1))
        self.register_buffer("deviation", torch.empty(3, 1, 1))
        self._normalise_by(*IMAGENET)
        # As our images lie in memory: on CPUs EfficientNet-Lite0 takes three fifths of the time of the other layout.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _normalise_by(self, mean: Channels, deviation: Channels) -> None:
        self.mean.copy_(torch.tensor(mean).view(3, 1, 1) * 2 - 1)
        self.deviation.copy_(torch.tensor(deviation).view(3, 1, 1) * 2)

    def _leave_out_pooling(self, image_shape: tuple[int, int, int]) -> None:
        """Raises DataError where that leaves no map C×H×W, but tokens or channels that come last."""
        if not self.name.startswith(TIMM):
            self.body.avgpool = nn.Identity()  # torchvision's own code then flattens the map
            return
        body: Any = self.body
        body.reset_classifier(0, global_pool="")
        with torch.inference_mode():
            found = body.eval()(torch.zeros(1, 3, *image_shape[:2])).shape
        body.train()
        if len(found) != 4 or found[1] != self.features:
            raise DataError(f"{self.name} ends in no map of channels to pool: leave out `network.pooling`")

    def take(self, pretrained: Pretrained) -> None:
        """Go on with pretrained weights, and see images as they were trained on."""
        self.body.load_state_dict(pretrained.weights)
        self._normalise_by(pretrained.mean, pretrained.deviation)

    def forward(self, images: Tensor) -> Tensor:
        """float N×C×H×W in [−1, 1] to N×features, or to N×P×features."""
        features: Tensor = self.body((images.expand(-1, 3, -1, -1) - self.mean) / self.deviation)
        if not self.maps:
            return features
        flat = features.flatten(1)
        return flat.view(len(flat), self.features, flat.shape[1] // self.features).transpose(1, 2)


def _torchvision(name: str) -> tuple[nn.Module, int]:
    # torchvision takes seconds to import, and the small networks do without it.
    from torchvision import models

    body = models.get_model(name, weights=None)
    features: int = body.fc.in_features
    body.fc = nn.Identity()
    return body, features


def _timm(name: str, image_shape: tuple[int, int, int]) -> tuple[nn.Module, int]:
    import timm

    body = timm.create_model(name.removeprefix(TIMM), pretrained=False, num_classes=0)
    about = configuration(body)
    if about.get("fixed_input_size") and tuple(about["input_size"][1:]) != image_shape[:2]:
        height, width = about["input_size"][1:]
        raise DataError(
            f"{name} takes images of {height}×{width} alone, not {image_shape[0]}×{image_shape[1]}; change "
            "ingest.image_shape"
        )
    # What it declares holds for most; the head of some has layers of its own before the classifier.
    with torch.inference_mode():
        some = torch.zeros(1, 3, *image_shape[:2])
        features: int = body.eval()(some).shape[1]
    return body.train(), features


def blocks(backbone: nn.Module) -> list[list[str]]:
    """The names of the parameters and statistics of each block of a backbone, from the image up."""
    if not isinstance(backbone, Imported):  # blocks one behind the other
        found = [[f"{place}.{name}" for name in block.state_dict()] for place, block in backbone.named_children()]
        return [names for names in found if names]
    names = list(backbone.body.state_dict())
    if backbone.name.startswith(TIMM):
        inner = _timm_blocks(backbone.body)
    else:
        stem = [name for name in names if not name.startswith("layer")]
        inner = [stem, *([name for name in names if name.startswith(f"layer{n}.")] for n in (1, 2, 3, 4))]
    return [[f"body.{name}" for name in block] for block in inner]


def _timm_blocks(body: Any) -> list[list[str]]:
    """timm's own order of a model's layers, coarsely: its stem, its stages, what is behind them."""
    from timm.models._manipulate import group_with_matcher

    found: dict[int, list[str]] = group_with_matcher(iter(body.state_dict().items()), body.group_matcher(coarse=True))
    return list(found.values())
