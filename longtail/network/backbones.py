"""Networks from an image to a feature vector."""

from difflib import get_close_matches
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from longtail.errors import DataError
from longtail.network.imported import Imported
from longtail.network.pretrained import TIMM

OWN = ("small_cnn", "resnet32", "deep_contour")
TORCHVISION = ("resnet18", "resnet50", "resnet152")


class Positions(nn.Module):
    """A map N×C×H×W as the vectors of its positions, N×P×C."""

    def forward(self, maps: Tensor) -> Tensor:
        return maps.flatten(2).transpose(1, 2)


class SmallCNN(nn.Sequential):
    """Three 3×3 convolutions for images of 28×28 or 32×32; 128 features at each place of a 3×3 or 4×4 map."""

    def __init__(self, image_shape: tuple[int, int, int], *, maps: bool) -> None:
        height, width, channels = image_shape
        if min(height, width) < 8:
            raise DataError(f"small_cnn needs images of 8×8 or more, not {height}×{width}; change ingest.image_shape")
        blocks = [_block(channels, 32), _block(32, 64), _block(64, 128)]
        super().__init__(*blocks, Positions() if maps else nn.Flatten())
        self.features = 128 if maps else 128 * (height // 8) * (width // 8)


def _block(inputs: int, outputs: int) -> nn.Sequential:
    # Pooling before normalisation does a quarter of its work; on a CPU normalisation costs as much as convolution.
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.MaxPool2d(2), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class ResNet32(nn.Sequential):
    """The ResNet for CIFAR (He et al., CVPR 2016, section 4.2): 3 × 5 blocks of 16, 32 and 64 channels, shortcuts
    without weights; 64 features. The one of the published tables of long-tailed CIFAR.
    """

    features = 64

    def __init__(self, image_shape: tuple[int, int, int], *, maps: bool) -> None:
        blocks: list[nn.Module] = []
        channels = 16
        for width in (16, 32, 64):
            for _ in range(5):
                blocks.append(_Residual(channels, width))
                channels = width
        stem = [nn.Conv2d(image_shape[2], 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True)]
        pooled = [Positions()] if maps else [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        super().__init__(*stem, *blocks, *pooled)
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


class DeepContour(nn.Sequential):
    """The network of DeepContour (Shen et al., CVPR 2015) for patches of 45×45: four 5×5 convolutions of 32, 48, 64 and
    128 channels, each pooled by half, and a fully connected layer of 128; the classifier is the sixth layer.

    Sizes and dropout are those of the network that the authors published; its poolings round up, as Caffe's: 45 → 22 →
    11 → 5 → 2. Its response normalisation is left out: it is made for pixels up to 255, and at ours divides by 1.
    """

    features = 128

    def __init__(self, image_shape: tuple[int, int, int], *, maps: bool) -> None:
        height, width, channels = image_shape
        if min(height, width) < 16:
            raise DataError(
                f"deep_contour needs images of 16×16 or more, not {height}×{width}; change ingest.image_shape"
            )
        layers: list[nn.Module] = []
        for before, after in pairwise((channels, 32, 48, 64, 128)):
            # Pooled before the ReLU: the same numbers for a quarter of its work.
            layers += [nn.Conv2d(before, after, 5, padding=2), nn.MaxPool2d(3, 2, ceil_mode=True)]
            layers.append(nn.ReLU(inplace=True))
        flat = 128 * _pooled(height) * _pooled(width)
        connected = [nn.Flatten(), nn.Linear(flat, 128), nn.ReLU(inplace=True), nn.Dropout(0.5)]
        super().__init__(*layers, *([Positions()] if maps else connected))
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")


def _pooled(side: int) -> int:
    """The side of a map of `side` after the four poolings."""
    for _ in range(4):
        side = -(-(side - 3) // 2) + 1
    return side


def build_backbone(name: str, image_shape: tuple[int, int, int], *, maps: bool = False) -> tuple[nn.Module, int]:
    """The backbone with fresh weights, and the length of its feature vector, of which it gives one an image, N×F, or,
    with `maps`, one for each of P positions, N×P×F. Raises DataError if it has no maps, or is not for such images.
    """
    if name in OWN:
        makers: dict[str, type[SmallCNN | ResNet32 | DeepContour]]
        makers = {"small_cnn": SmallCNN, "resnet32": ResNet32, "deep_contour": DeepContour}
        own = makers[name](image_shape, maps=maps)
        return own, own.features
    network = Imported(name, image_shape, maps=maps)
    return network, network.features


def check_name(name: str) -> str:
    """The name of a backbone. Raises ValueError if there is none of that name."""
    if name in (*OWN, *TORCHVISION):
        return name
    known = f"{', '.join((*OWN, *TORCHVISION))}, or a model of timm: {TIMM}tf_efficientnet_lite0"
    if not name.startswith(TIMM):
        raise ValueError(f"there is no backbone {name!r}; there are {known}")
    import timm

    model = name.removeprefix(TIMM)
    if not timm.is_model(model):
        near = get_close_matches(model, timm.list_models(), 3)
        raise ValueError(f"timm has no model {model!r}" + (f"; it has {', '.join(near)}" if near else ""))
    return name
