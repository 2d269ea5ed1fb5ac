"""Networks from an image to a feature vector."""

from typing import Literal

from torch import Tensor, nn

Backbone = Literal["small_cnn", "resnet18", "resnet50", "resnet152"]


class SmallCNN(nn.Sequential):
    """Three blocks of two 3×3 convolutions for images of 28×28 or 32×32; 128 features on a 3×3 or 4×4 map."""

    def __init__(self, image_shape: tuple[int, int, int]) -> None:
        height, width, channels = image_shape
        blocks: list[nn.Module] = []
        for inputs, outputs in ((channels, 32), (32, 64), (64, 128)):
            blocks += [_convolution(inputs, outputs), _convolution(outputs, outputs), nn.MaxPool2d(2)]
        super().__init__(*blocks, nn.Flatten())
        self.features = 128 * (height // 8) * (width // 8)


def _convolution(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class ResNet(nn.Module):
    """torchvision's ResNet without its last layer; grey images are repeated over the three channels."""

    def __init__(self, name: str, pretrained: bool) -> None:
        # torchvision takes seconds to import, and the small network does without it.
        from torchvision import models

        super().__init__()
        self.body = models.get_model(name, weights="DEFAULT" if pretrained else None)
        self.features = self.body.fc.in_features
        self.body.fc = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """float N×C×H×W to N×features."""
        features: Tensor = self.body(images.expand(-1, 3, -1, -1))
        return features


def build_backbone(name: Backbone, image_shape: tuple[int, int, int], *, pretrained: bool) -> tuple[nn.Module, int]:
    """The backbone and the length of its feature vector; `pretrained` asks torchvision for ImageNet weights."""
    backbone = SmallCNN(image_shape) if name == "small_cnn" else ResNet(name, pretrained)
    return backbone, backbone.features
