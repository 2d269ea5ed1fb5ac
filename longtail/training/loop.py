"""The one training loop. Every draw is a function of the seed and the step, so a resumed run repeats a whole one."""

import math
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from longtail.methods.base import Ints, Method
from longtail.methods.placed import PlacedMethod
from longtail.network.decay import parameter_groups
from longtail.network.device import device, warn_of_bfloat16
from longtail.network.network import Network
from longtail.network.trained import layer_shares, set_modes
from longtail.training.checkpoint import load_checkpoint, save_checkpoint
from longtail.training.distributed import data_parallel, synchronise_batch_norm, total
from longtail.training.early_stopping import Best, validation_loss
from longtail.training.inputs import Inputs
from longtail.training.loading import mini_batches, seeds
from longtail.training.meter import Meter, announcement
from longtail.training.objective import Objective
from longtail.training.optimisation import Optimisation
from longtail.training.placing import place_samples
from longtail.world import ALONE, World

PROBED = 50  # mini-batches whose images are counted


class Stretch(NamedTuple):
    """Which part of a schedule a training is: number `number`, from 0, of `of` equal ones."""

    number: int
    of: int


WHOLE_SCHEDULE = Stretch(0, 1)


def train(
    network: Network,
    method: Method,
    inputs: Inputs,
    optimisation: Optimisation,
    *,
    seed: int,
    work: Path,
    fingerprint: str,
    stretch: Stretch = WHOLE_SCHEDULE,
    world: World = ALONE,
    validation: dict[str, Ints] | None = None,
) -> list[dict[str, float]]:
    """Train `network` in place and return the logged scalars, one dict for every `log_every` iterations.

    Checkpoints go to the directory `work`; one with the same `fingerprint` found there is resumed. Several processes
    train as one would whose mini-batches are all of theirs; the first alone writes, and all return the same.
    `validation`: the labels of validation samples alone, as in `Setup`, for early stopping.
    """
    network.to(device())
    method.to(device())
    if not optimisation.freeze_batch_norm:
        synchronise_batch_norm(world, network)
    objective = Objective(network, method)
    optimiser = _optimiser(objective, optimisation)
    averaged = _average(objective, optimisation.average)
    best = Best(objective) if validation is not None and optimisation.early_stopping else None
    kept = nn.ModuleList([part for part in (objective, averaged, best) if part]) if averaged or best else objective
    # Before a checkpoint is read: how long the training is must not hang on where it was killed.
    iterations = length(optimisation, method)
    method.plan(iterations)
    start, history = load_checkpoint(work, fingerprint, kept, optimiser, world)
    trained: Callable[..., dict[str, Tensor]] = data_parallel(world, objective)
    if optimisation.compile:
        trained = torch.compile(trained)
    steps = range(start, iterations)
    set_modes(network, freeze_batch_norm=optimisation.freeze_batch_norm)
    if halved := precision(optimisation) == "bfloat16":
        warn_of_bfloat16("`optimisation.precision`")
    meter = Meter(optimisation.log_every, iterations, start, history, shown=world.first)
    loader = mini_batches(
        inputs,
        method,
        seed=seed,
        steps=steps,
        device=device(),
        world=world,
        waiting=meter.waiting,
    )
    with closing(loader) as batches, meter:
        for step in steps:
            if isinstance(method, PlacedMethod) and step % method.refresh == 0:
                place_samples(network, method, inputs, step=step, world=world)
                set_modes(network, freeze_batch_norm=optimisation.freeze_batch_norm)
            # All that is random in a step hangs on these seeds, so nothing random needs to be in the checkpoint.
            torch.manual_seed(seeds(seed, step, world.rank)[1])
            _set_learning_rate(optimiser, learning_rate(optimisation, iterations, step, stretch))
            images, batch = next(batches)
            if world.first and step == start:
                print(announcement(method, batch, start, iterations), file=sys.stderr)
            with torch.autocast(device().type, torch.bfloat16, enabled=halved):
                scalars = trained(images, batch)
            _descend(objective, optimiser, scalars["loss"] * world.size, optimisation.clip)
            if averaged:
                averaged.update_parameters(objective)
            meter.add(step + 1, total(world, scalars), method.views * batch.whole)
            if best and validation is not None and (step + 1 == iterations or (step + 1) % optimisation.log_every == 0):
                candidate: Objective = averaged.module if averaged else objective  # type: ignore[assignment]
                other = candidate.method.measuring(validation)
                loss = validation_loss(candidate.network, other, inputs, seed=seed, halved=halved, world=world)
                if best.take(candidate, meter.add_validation(loss)) == optimisation.early_stopping:
                    break
                set_modes(network, freeze_batch_norm=optimisation.freeze_batch_norm)
            if world.first and (step + 1) % optimisation.checkpoint_every == 0:
                save_checkpoint(work, fingerprint, kept, optimiser, step + 1, history)
    if best:
        objective.load_state_dict(best.kept.state_dict())
    elif averaged:
        objective.load_state_dict(averaged.module.state_dict())
    return history


def _descend(objective: Objective, optimiser: torch.optim.Optimizer, loss: Tensor, clip: float | None) -> None:
    """Take a step; `loss`: this process's share of it, as many times as there are processes.

    With weights w that sum to 1 over the whole mini-batch, its loss is L = Σ_i w_i h_i = Σ_r L_r, where L_r is the sum
    over the share of process r. So ∇L = Σ_r ∇L_r, and the processes' gradients are averaged: 1/W Σ_r ∇(W L_r) is ∇L.
    """
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    if clip:
        nn.utils.clip_grad_norm_(objective.parameters(), clip)
    optimiser.step()


def _average(objective: nn.Module, decay: float | None) -> AveragedModel | None:
    """The exponential moving average of weights and statistics, which begins with the first step's."""
    if decay is None:
        return None
    return AveragedModel(objective, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)  # type: ignore[no-untyped-call]


def precision(optimisation: Optimisation) -> str:
    """That of convolutions and products, float32 or bfloat16, on this device."""
    return optimisation.precision or ("bfloat16" if device().type == "cuda" else "float32")


def length(optimisation: Optimisation, method: Method) -> int:
    """How many iterations a training takes; of `image_passes` as many as come nearest, as the first mini-batches are.

    An image that a mini-batch has several times goes through the network once, so methods differ in what a step takes.
    """
    if optimisation.iterations is not None:
        return optimisation.iterations
    assert optimisation.image_passes is not None
    sizes = [method.views * len(method.batch(step).samples) for step in range(PROBED)]
    return max(1, round(optimisation.image_passes * PROBED / sum(sizes)))


def learning_rate(optimisation: Optimisation, iterations: int, step: int, stretch: Stretch = WHOLE_SCHEDULE) -> float:
    """The learning rate of step `step`, from 0: a linear rise, then constant, in steps or a cosine down to 0."""
    step, iterations = stretch.number * iterations + step, stretch.of * iterations
    rise = min(1.0, (step + 1) / (optimisation.warm_up + 1))
    match optimisation.schedule:
        case "cosine":
            fall = (1 + math.cos(math.pi * step / iterations)) / 2
        case "step":
            fall = optimisation.decay ** sum(step >= share * iterations for share in optimisation.milestones)
        case "constant":
            fall = 1.0
    return optimisation.learning_rate * rise * fall


def _set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate * group["share"]


def _optimiser(objective: Objective, optimisation: Optimisation) -> torch.optim.Optimizer:
    # Fused: one kernel for all parameters instead of a dozen for each.
    rate, decay = optimisation.learning_rate, optimisation.weight_decay
    trained = parameter_groups(objective, decay, layer_shares(objective.network.backbone, optimisation.layer_decay))
    if optimisation.optimiser == "adamw":
        return torch.optim.AdamW(trained, rate, fused=True)
    return torch.optim.SGD(trained, rate, momentum=optimisation.momentum, fused=True)
