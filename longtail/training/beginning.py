"""What a training begins with: the weights of what it follows, as far as they fit, and the γ of a kernel pooling."""

from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from longtail.artifacts.weights import read_weights
from longtail.data.transforms import to_float
from longtail.errors import DataError
from longtail.methods.base import Ints, MethodParams
from longtail.network.embedder import build_network
from longtail.network.network import Network, is_images
from longtail.network.pooling.kernel import Kernel
from longtail.network.snapshot import PRIOR, Blueprint, read_blueprint
from longtail.training.inputs import Inputs

MEASURED = 256  # images, of which each has tens of vectors


def initial_network(snapshot: Path, blueprint: Blueprint, method: MethodParams) -> Network:
    """A network with the weights of a snapshot; what that one does not have, or has in another shape, is fresh, and so
    are the classifiers where the method wants them so or that snapshot's method trained none: a method may have a
    beginning of its own for them.

    Raises DataError if the snapshot has weights, of another backbone, or has no classifier and the method needs it.
    """
    network = build_network(blueprint)
    file, has_classifier = snapshot / "network.safetensors", (snapshot / PRIOR).is_file()
    if method.needs_classifier and not has_classifier:
        raise DataError(
            f"{method.kind} goes on with a trained classifier, and what it follows has none; let it follow a "
            "training of a method that has a head"
        )
    if not file.is_file():  # prior features that no network made
        return network
    fresh, stored = network.state_dict(), read_weights(file)
    if _of_backbone(stored) != _of_backbone(fresh):
        raise DataError(
            f"the weights in {snapshot} are of another backbone than {blueprint.backbone}; give both the same `network`"
        )
    stored = _by_task(stored, read_blueprint(snapshot), blueprint)
    if method.fresh_classifier or not has_classifier:
        stored = {name: weight for name, weight in stored.items() if not name.startswith("classifiers.")}
    taken = {name: weight for name, weight in stored.items() if name in fresh and weight.shape == fresh[name].shape}
    if method.needs_classifier and not {f"classifiers.{n}.bias" for n in range(len(blueprint.tasks))} <= set(taken):
        raise DataError(
            f"{method.kind} goes on with a linear classifier of the same classes, and what it follows has another; let "
            "it follow a training by cross-entropy"
        )
    network.load_state_dict(fresh | taken)
    return network


def measure_gamma(network: Network, inputs: Inputs, training: Ints) -> None:
    """Give a kernel pooling that has no γ yet one over the mean inner product of the vectors in the maps of some of the
    `training` samples; the backbone works in the modes that it is in, and keeps its statistics.

    Raises DataError if that mean is not positive.
    """
    pooling = network.pooling
    if not isinstance(pooling, Kernel) or not pooling.gamma.isnan():
        return
    backbone, means = deepcopy(network.backbone), []
    drawn = training[np.linspace(0, len(training) - 1, min(MEASURED, len(training))).astype(int)]
    for start in range(0, len(drawn), MEASURED // 4):
        taken = torch.from_numpy(inputs.plain(drawn[start : start + MEASURED // 4]))
        with torch.no_grad():
            maps = backbone(to_float(taken)) if is_images(taken) else taken
        means.append(maps.double().mean(1))
    # The mean of xᵀy over all pairs is the squared length of the mean.
    mean = float(torch.cat(means).mean(0).square().sum())
    if not 0 < mean < torch.inf:
        raise DataError(
            f"the mean inner product of the backbone's features is {mean:.3g}, so there is no γ of a kernel pooling: "
            "give `network.pooling.gamma`, or pool in another way"
        )
    pooling.gamma.fill_(1 / mean)


def _by_task(weights: dict[str, Tensor], before: Blueprint, after: Blueprint) -> dict[str, Tensor]:
    """The weights with those of each task's embedding and classifier under its new number; of other tasks there are
    none, nor of one whose classes are others.
    """
    numbers = {task.name: number for number, task in enumerate(before.tasks) if task in after.tasks}
    kept = ("backbone.", "pooling.") if before.pooling == after.pooling else ("backbone.",)
    moved = {name: weight for name, weight in weights.items() if name.startswith(kept)}
    for place, task in enumerate(after.tasks):
        for part, shared in (("embeddings", before.shared_embedding), ("branches", False), ("classifiers", False)):
            old = f"{part}.0." if shared else f"{part}.{numbers.get(task.name)}."
            new = f"{part}.0." if part == "embeddings" and after.shared_embedding else f"{part}.{place}."
            moved |= {new + name.removeprefix(old): w for name, w in weights.items() if name.startswith(old)}
    return moved


def _of_backbone(weights: dict[str, Tensor]) -> set[str]:
    """The names of a backbone's weights: all of them, as those of one ResNet are in part those of another."""
    return {name for name in weights if name.startswith("backbone.")}
