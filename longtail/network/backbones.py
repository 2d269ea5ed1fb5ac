"""Networks from an image to a feature vector."""

from pathlib import Path
from pickle import UnpicklingError
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from longtail.errors import DataError

Backbone = Literal["small_cnn", "resnet32", "resnet18", "resnet50", "resnet152"]
# Those that torchvision has ImageNet weights of.
PRETRAINED = ("resnet18", "resnet50", "resnet152")


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


class ResNet32(nn.Sequential):
    """The ResNet for CIFAR (He et al., CVPR 2016, section 4.2): 3 × 5 blocks of 16, 32 and 64 channels, shortcuts
    without weights; 64 features. The one of the published tables of long-tailed CIFAR.
    """

    features = 64

    def __init__(self, image_shape: tuple[int, int, int]) -> None:
        blocks: list[nn.Module] = []
        channels = 16
        for width in (16, 32, 64):
            for _ in range(5):
                blocks.append(_Residual(channels, width))
                channels = width
        stem = [nn.Conv2d(image_shape[2], 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True)]
        super().__init__(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)


class _Residual(nn.Module):
    """Two 3×3 convolutions; where the channels double the map is halved, and the shortcut is padded (option A)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.stride, self.added = outputs // inputs, outputs - inputs
        self.first = nn.Conv2d(inputs, outputs, 3, self.stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)

    def forward(self, maps: Tensor) -> Tensor:
        inner = self.second_norm(self.second(F.relu(self.first_norm(self.first(maps)))))
        half = self.added // 2
        shortcut = F.pad(maps[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, half, half)) if self.added else maps
        return F.relu(inner + shortcut)


def build_backbone(name: Backbone, image_shape: tuple[int, int, int], *, pretrained: bool) -> tuple[nn.Module, int]:
    """The backbone and the length of its feature vector; `pretrained` asks torchvision for ImageNet weights."""
    if name in PRETRAINED:
        network = ResNet(name, pretrained)
        return network, network.features
    own = SmallCNN(image_shape) if name == "small_cnn" else ResNet32(image_shape)
    return own, own.features
