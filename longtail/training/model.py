"""Training a model: the same for every method, for a training of `fits` as for a round."""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from longtail.artifacts.fingerprint import fingerprint
from longtail.artifacts.weights import read_weights
from longtail.artifacts.work import work_directory
from longtail.data.colours import standardised
from longtail.data.dataset import Task
from longtail.data.feature_set import FeatureSet
from longtail.data.seed import Seed
from longtail.data.splits import Split
from longtail.data.transforms import Augmentation
from longtail.errors import DataError
from longtail.methods.base import OFTEN, AnyMethod, Ints, Method, MethodParams, Sampling, Setup
from longtail.methods.catalogue import entry_of
from longtail.network.device import device
from longtail.network.embedder import Embedder, blueprint_for, build_network, write_snapshot
from longtail.network.network import Network, NetworkParams, backbone_digest, keep_still, renew
from longtail.network.snapshot import PRIOR, Blueprint, current, read_blueprint, write_prior
from longtail.rules.clusters import ClusterSize
from longtail.rules.search import Search
from longtail.training.inputs import Features, Images, Inputs, open_inputs
from longtail.training.loop import WHOLE_SCHEDULE, Stretch, train
from longtail.training.negatives import carry_over, trained_tasks
from longtail.training.optimisation import Optimisation
from longtail.training.outcome import Scoring, warn_of_collapse
from longtail.world import World


class TrainingParams(Sampling):
    """The parameters of any training, with the shared seed, cluster_size, network and search."""

    seed: Seed = 0
    cluster_size: ClusterSize = None
    network: NetworkParams = NetworkParams()
    search: Search = Search()
    method: AnyMethod
    trained_blocks: int | None = Field(
        None,
        ge=0,
        description="of the backbone the last so many blocks alone; what is below stays, batch-norm statistics too. "
        "0: only what is on top of it is trained; null: all of it",
    )
    optimisation: Optimisation = Optimisation(iterations=1000)

    @model_validator(mode="after")
    def _corrected_once(self) -> "TrainingParams":
        if entry_of(self.method.kind).corrects_prior and (self.sampling != "natural" or self.cost):
            raise ValueError(
                f"{self.method.kind} makes up for the imbalance itself, and class-even mini-batches or costs would do "
                "so once more: set `sampling: natural` and `cost: false`"
            )
        return self

    @model_validator(mode="after")
    def _negatives_separated(self) -> "TrainingParams":
        if self.negatives == "ignore":
            if self.negatives_often != OFTEN:
                raise ValueError("negatives_often says how often hard negatives are drawn: give `negatives` too")
        elif not self.method.separates_negatives or getattr(self.method, "mixup", None):
            mixtures = " on mixtures" if self.method.separates_negatives else ""
            raise ValueError(
                f"{self.method.kind}{mixtures} cannot have hard negatives as further classes: leave `negatives` out"
            )
        return self

    @model_validator(mode="after")
    def _embedding_learned(self) -> "TrainingParams":
        if entry_of(self.method.kind).needs_table and self.network.embedding is None:
            raise ValueError(f"{self.method.kind} learns an embedding: give `network.embedding` a length")
        return self

    @model_validator(mode="after")
    def _embedding_shared(self) -> "TrainingParams":
        if self.method.one_embedding and self.network.embedding and not self.network.shared_embedding:
            raise ValueError(f"{self.method.kind} has one embedding of all tasks: set `network.shared_embedding: true`")
        return self

    @model_validator(mode="after")
    def _something_deferred(self) -> "TrainingParams":
        weighs = self.cost or entry_of(self.method.kind).weighs_classes
        if self.deferred and self.sampling == "natural" and not weighs:
            raise ValueError(
                f"nothing is deferred: {self.method.kind} draws naturally and without weights throughout; name a "
                "`sampling` or a `cost` that begins then, or leave `deferred` out"
            )
        return self

    def check_stored(self) -> None:
        """Raise DataError if a training on stored features is to do what takes the images."""
        if self.optimisation.augmentation != Augmentation():
            raise DataError(
                f"{self.called} is trained on stored features, and its augmentation takes the images: store augmented "
                "views with `views` and `augmentation` of those features, or leave it out"
            )
        if self.trained_blocks:
            raise DataError(
                f"{self.called} is trained on stored features, so its backbone stays: leave out trained_blocks"
            )

    @model_validator(mode="after")
    def _stopped_once(self) -> "TrainingParams":
        if entry_of(self.method.kind).needs_table and self.optimisation.early_stopping:
            raise ValueError(
                f"{self.method.kind} is trained in rounds, which `train.patience` stops: leave out early_stopping"
            )
        if (self.deferred or self.sampling == "progressive") and self.optimisation.early_stopping:
            raise ValueError(
                "early stopping may end a training before its mini-batches are what they are to be: leave it out, or "
                "`deferred` and `progressive`, or let a second training follow the first"
            )
        return self

    @property
    def called(self) -> str:
        """What messages call the training: by its section of params.yaml."""
        return "train"

    @property
    def scoring(self) -> Scoring:
        """How the training is scored on validation: by its method's rule."""
        return Scoring(entry_of(self.method.kind).rule, self.cluster_size, self.search, self.seed)


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
    blueprint = blueprint_for(params.network, "network", table.tasks, data.info, method_params)
    torch.manual_seed(seed)
    network = initial_network(sources.snapshot, blueprint, params.method)
    tasks = trained_tasks(table, params.negatives)
    trained = blueprint if tasks == blueprint.tasks else blueprint.model_copy(update={"tasks": tasks})
    if trained is not blueprint:
        network = carry_over(network, build_network(trained))
    if isinstance(data, Features):
        params.check_stored()
        _check_backbone(data.features, network, sources.snapshot)
    keep_still(network, 0 if isinstance(data, Features) or not params.method.trains_body else params.trained_blocks)
    if fresh:
        renew(network, build_network(trained))
    if not params.method.trains_body:
        network.embeddings.requires_grad_(requires_grad=False)
        network.branches.requires_grad_(requires_grad=False)
    method = params.method.build(_setup(table, data, params, seed, world, sources.table))
    _check_trained(params, network, method, data)
    for warning in method.warnings() if world.first else ():
        print(f"warning: {params.called}: {warning}", file=sys.stderr)
    key = fingerprint(params, *inputs, processes=world.size)
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
        validation={task.name: _of_validation(table, task) for task in table.tasks},
    )
    if not world.first:
        return None
    if trained is not blueprint:
        network = carry_over(network, build_network(blueprint).to(device()))
    embedder, samples = Embedder(blueprint, network), len(table.samples)
    write_snapshot(current(model), embedder, data.plain, samples, logits=method.trains_classifier)
    if method.trains_classifier:
        counts = {task.name: len(task.classes) for task in table.tasks}
        write_prior(current(model), method.trained_prior(counts, int(curve[-1]["iteration"])))
    warn_of_collapse(current(model), table)
    return curve


def _setup(
    table: Split, data: Inputs, params: TrainingParams, seed: int, world: World, quintuplets: Path | None
) -> Setup:
    labels = {task.name: table.train_labels(task) for task in table.tasks}
    backgrounds = {task.name: task.classes.index(task.background) for task in table.tasks if task.background}
    colours = None if data.colours is None else standardised(data.colours)
    negatives = {task.name: table.negatives(task) for task in table.tasks}
    classes = {task.name: len(task.classes) for task in table.tasks}
    return Setup(labels, params, seed, world.size, quintuplets, backgrounds, colours, negatives, classes)


def _of_validation(table: Split, task: Task) -> Ints:
    return np.where(table.subset == "validation", table.labels(task), -1)


def _check_trained(params: TrainingParams, network: Network, method: Method, data: Inputs) -> None:
    if method.plain_first and isinstance(data, Images) and params.optimisation.augmentation == Augmentation():
        raise DataError(
            f"{params.called} compares images with augmented views of themselves, and nothing is varied: give "
            "`optimisation.augmentation`, or leave that comparison out"
        )
    body = [*network.backbone.parameters(), *network.embeddings.parameters(), *method.parameters()]
    if not method.trains_classifier and not any(parameter.requires_grad for parameter in body):
        raise DataError(
            f"{params.called} has nothing to train: the backbone stays, and {params.method.kind} trains no classifier; "
            "give `network.embedding` a length"
        )


def _check_backbone(features: FeatureSet, network: Network, snapshot: Path) -> None:
    if features.info.backbone != backbone_digest(network):
        raise DataError(
            f"the features in {features.path} were made by another backbone than the one in {snapshot}: let the "
            "training follow what the features are `after`, or what was trained on them"
        )


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


def _by_task(weights: dict[str, Tensor], before: Blueprint, after: Blueprint) -> dict[str, Tensor]:
    """The weights with those of each task's embedding and classifier under its new number; of other tasks there are
    none, nor of one whose classes are others.
    """
    numbers = {task.name: number for number, task in enumerate(before.tasks) if task in after.tasks}
    moved = {name: weight for name, weight in weights.items() if name.startswith("backbone.")}
    for place, task in enumerate(after.tasks):
        for part, shared in (("embeddings", before.shared_embedding), ("branches", False), ("classifiers", False)):
            old = f"{part}.0." if shared else f"{part}.{numbers.get(task.name)}."
            new = f"{part}.0." if part == "embeddings" and after.shared_embedding else f"{part}.{place}."
            moved |= {new + name.removeprefix(old): w for name, w in weights.items() if name.startswith(old)}
    return moved


def _of_backbone(weights: dict[str, Tensor]) -> set[str]:
    """The names of a backbone's weights: all of them, as those of one ResNet are in part those of another."""
    return {name for name in weights if name.startswith("backbone.")}
