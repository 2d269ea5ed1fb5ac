"""Training a model: the same for every method, for a training of `fits` as for a round."""

import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from longtail.artifacts.fingerprint import fingerprint
from longtail.artifacts.work import work_directory
from longtail.data.feature_set import FeatureSet
from longtail.data.splits import Split
from longtail.data.transforms import shape_of_side
from longtail.errors import DataError
from longtail.methods.base import Ints, Method, Setup
from longtail.methods.in_batch import InBatchMethod
from longtail.methods.similarity import ClusteringMethod
from longtail.network.device import device
from longtail.network.embedder import Embedder, blueprint_for, build_network, check_length, write_snapshot
from longtail.network.inference import check_size
from longtail.network.network import Network, backbone_digest
from longtail.network.snapshot import current, write_priors
from longtail.network.trained import keep_still, renew, set_modes
from longtail.training.beginning import initial_network, measure_gamma
from longtail.training.inputs import Features, Inputs, open_inputs
from longtail.training.loop import WHOLE_SCHEDULE, Stretch, precision, train
from longtail.training.negatives import carry_over, trained_tasks
from longtail.training.outcome import warn_of_collapse
from longtail.training.params import TrainingParams
from longtail.world import World


@dataclass(frozen=True)
class Sources:
    """What a training reads; `snapshot`: with whose weights it begins, `table`: the directory of quintuplet tables."""

    dataset: Path
    split: Path
    snapshot: Path
    table: Path | None = None


def train_model(
    sources: Sources,
    model: Path,
    params: TrainingParams,
    *,
    inputs: list[Path],
    seed: int,
    world: World,
    fresh: bool = False,
    stretch: Stretch = WHOLE_SCHEDULE,
) -> list[dict[str, float]] | None:
    """Train, and write the snapshot `current` of the directory `model`; return the curve of the logged scalars.

    `inputs`: the artifacts that the training depends on: a checkpoint is found again by them and the parameters.
    `fresh`: begin with new weights, save those of what is kept still. None in all processes but the first, which alone
    writes.
    """
    table = Split.open(sources.split)
    data = open_inputs(sources.dataset, table, params.optimisation.augmentation)
    method_params = params.method.model_dump(mode="json")
    blueprint = blueprint_for(params.network, "network", table.tasks, data.info, method_params, params.inference)
    torch.manual_seed(seed)
    network = initial_network(sources.snapshot, blueprint, params.method)
    tasks = trained_tasks(table, params.negatives)
    trained = blueprint if tasks == blueprint.tasks else blueprint.model_copy(update={"tasks": tasks})
    if trained is not blueprint:
        network = carry_over(network, build_network(trained))
    if isinstance(data, Features):
        params.check_stored()
        _check_backbone(data.features, network, sources.snapshot)
    else:
        trained_on = shape_of_side(data.info.image_shape, params.optimisation.augmentation.side)
        check_size(network, trained_on, params.inference.shape(data.info.image_shape))
    keep_still(network, 0 if isinstance(data, Features) or not params.method.trains_body else params.trained_blocks)
    if fresh:
        renew(network, build_network(trained))
    if not params.method.trains_body:
        network.embeddings.requires_grad_(requires_grad=False)
        network.branches.requires_grad_(requires_grad=False)
        network.pooling.requires_grad_(requires_grad=False)
    set_modes(network, freeze_batch_norm=params.optimisation.freeze_batch_norm)
    measure_gamma(network, data, table.positions("train"))
    check_length(network.length, len(table.samples))  # not when hours of training are over
    method = params.method.build(_setup(table, data, params, seed, world, sources.table))
    _check_trained(params, network, method, data)
    for warning in method.warnings() if world.first else ():
        print(f"warning: {params.called}: {warning}", file=sys.stderr)
    key = fingerprint(params, *inputs, processes=world.size, precision=precision(params.optimisation))
    work = work_directory(model, key)
    curve = train(
        network,
        method,
        data,
        params.optimisation,
        seed=seed,
        work=work,
        fingerprint=key,
        stretch=stretch,
        world=world,
        validation=_of_validation(table) if params.optimisation.early_stopping else None,
    )
    if not world.first:
        return None
    if trained is not blueprint:
        network = carry_over(network, build_network(blueprint).to(device()))
    embedder, samples = Embedder(blueprint, network), len(table.samples)
    write_snapshot(current(model), embedder, data.plain, samples, logits=method.trains_classifier)
    if method.trains_classifier:
        counts = {task.name: len(task.classes) for task in table.tasks}
        iterations = int(curve[-1]["iteration"])
        priors = method.trained_prior(counts, iterations), method.earlier_prior(counts, iterations)
        write_priors(current(model), *priors)
    warn_of_collapse(current(model), table)
    return curve


def _setup(
    table: Split, data: Inputs, params: TrainingParams, seed: int, world: World, quintuplets: Path | None
) -> Setup:
    labels = {task.name: table.train_labels(task) for task in table.tasks}
    backgrounds = {task.name: task.classes.index(task.background) for task in table.tasks if task.background}
    rejected = {task.name: table.negatives(task) for task in table.tasks}
    negatives = {task: of_task for task, of_task in rejected.items() if (of_task >= 0).any()}
    classes = {task.name: len(task.classes) for task in table.tasks}
    return Setup(labels, params, seed, world.size, quintuplets, backgrounds, data.colours, negatives, classes)


def _of_validation(table: Split) -> dict[str, Ints]:
    return {task.name: table.labels_of(task, "validation") for task in table.tasks}


def _check_trained(params: TrainingParams, network: Network, method: Method, data: Inputs) -> None:
    compares = method.plain_first or (method.views > 1 and isinstance(method, InBatchMethod))
    if compares and (instead := data.without_views()):
        raise DataError(
            f"{params.called} compares images with augmented views of themselves, and {instead}, or leave that "
            "comparison out"
        )
    body = [*network.backbone.parameters(), *network.pooling.parameters(), *network.embeddings.parameters()]
    body += method.parameters()
    if not method.trains_classifier and not any(parameter.requires_grad for parameter in body):
        raise DataError(
            f"{params.called} has nothing to train: the backbone stays, and {params.method.kind} trains no classifier; "
            "give `network.embedding` a length"
        )
    if isinstance(method, ClusteringMethod) and method.params.clustering and not any(one.requires_grad for one in body):
        raise DataError(
            f"{params.called} clusters the embedding, and nothing below the classifiers is trained: give "
            "`network.embedding` a length, or set `clustering: 0`"
        )


def _check_backbone(features: FeatureSet, network: Network, snapshot: Path) -> None:
    if (features.info.positions is not None) != network.takes_maps:
        stored, taken = ("maps", "pools none") if not network.takes_maps else ("pooled", "pools maps itself")
        raise DataError(
            f"the features in {features.path} are {stored}, and this network {taken}: make them again with the "
            "`network.pooling` of the training"
        )
    if features.info.backbone != backbone_digest(network):
        raise DataError(
            f"the features in {features.path} were made by another backbone than the one in {snapshot}: let the "
            "training follow what the features are `after`, or what was trained on them"
        )
