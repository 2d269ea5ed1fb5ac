"""Networks from an image to a feature vector."""

from pathlib import Path
from pickle import UnpicklingError
from typing import Literal

import torch
from torch import Tensor, nn

from longtail.errors import DataError

Backbone = Literal["small_cnn", "resnet18", "resnet50", "resnet152"]


class SmallCNN(nn.Sequential):
    """Three 3×3 convolutions for images of 28×28 or 32×32; 128 features at each place of a 3×3 or 4×4 map."""

    def __init__(self, image_shape: tuple[int, int, int]) -> None:
        height, width, channels = image_shape
        if min(height, width) < 8:
            raise DataError(f"small_cnn needs images of 8×8 or more, not {height}×{width}; change ingest.image_shape")
        blocks = [_block(channels, 32), _block(32, 64), _block(64, 128)]
        super().__init__(*blocks, nn.Flatten())
        self.features = 128 * (height // 8) * (width // 8)


def _block(inputs: int, outputs: int) -> nn.Sequential:
    # Pooling before normalisation does a quarter of its work; on a CPU normalisation costs as much as convolution.
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.MaxPool2d(2), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class ResNet(nn.Module):
    """torchvision's ResNet without its last layer; grey images are repeated over the three channels."""

    def __init__(self, name: str, pretrained: bool) -> None:
        # torchvision takes seconds to import, and the small network does without it.
        from torchvision import models

        super().__init__()
        try:
            self.body = models.get_model(name, weights="DEFAULT" if pretrained else None)
        except (OSError, RuntimeError, UnpicklingError) as error:
            weights = models.get_model_weights(name).DEFAULT.url
            raise DataError(
                f"cannot load the ImageNet weights of {name} ({error}); put {weights} into "
                f"{Path(torch.hub.get_dir()) / 'checkpoints'}"
            ) from error
        self.features = self.body.fc.in_features
        self.body.fc = nn.Identity()
        self.mean: Tensor
        self.deviation: Tensor
        # ImageNet's mean and deviation of [0, 1] images, carried over to ours in [−1, 1].
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1) * 2 - 1, persistent=False)
        self.register_buffer("deviation", torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1) * 2, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """float N×C×H×W in [−1, 1] to N×features."""
        features: Tensor = self.body((images.expand(-1, 3, -1, -1) - self.mean) / self.deviation)
        return features


def build_backbone(name: Backbone, image_shape: tuple[int, int, int], *, pretrained: bool) -> tuple[nn.Module, int]:
    """The backbone and the length of its feature vector; `pretrained` asks torchvision for ImageNet weights."""
    backbone = SmallCNN(image_shape) if name == "small_cnn" else ResNet(name, pretrained)
    return backbone, backbone.features
