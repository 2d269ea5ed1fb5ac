"""The backbone of a model that another pipeline trained, on other data: what transfer begins with."""

from longtail.errors import DataError
from longtail.network.network import Network
from longtail.network.pretrained import WeightsFile, read_hashed
from longtail.network.snapshot import Blueprint, State, best, read_blueprint


def take_backbone(network: Network, blueprint: Blueprint, weights: WeightsFile) -> None:
    """Give a network, which `blueprint` describes, the backbone of the best round of the model directory
    `weights.path`. What is on top of it stays fresh, as its classes are others.

    Raises DataError if that is no model, not the one of that hash, or one of another backbone.
    """
    State.read(weights.path)
    snapshot = best(weights.path)
    there = read_blueprint(snapshot)
    if there.backbone != blueprint.backbone:
        raise DataError(
            f"the model {weights.path} has the backbone {there.backbone}, not {blueprint.backbone}: give both "
            "pipelines the same `network.backbone`"
        )
    file = snapshot / "network.safetensors"
    stored = read_hashed(file, weights.sha256)
    own = {f"backbone.{name}": value for name, value in network.backbone.state_dict().items()}
    for name, value in own.items():
        if name not in stored or stored[name].shape != value.shape:
            raise DataError(
                f"the weights in {file} are of images of another kind, {_sides(there)} and not {_sides(blueprint)}: "
                f"{name} is missing or has another shape"
            )
    network.backbone.load_state_dict({name.removeprefix("backbone."): stored[name] for name in own})


def _sides(blueprint: Blueprint) -> str:
    return "×".join(map(str, blueprint.image_shape))
