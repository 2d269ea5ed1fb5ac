"""Checkpoints of a training in progress: weights and optimiser as safetensors, never a pickle.

One file is replaced in one step, so a kill at any moment leaves the last whole checkpoint.
"""

import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from longtail.artifacts.weights import digest, write_weights
from longtail.training.distributed import from_first
from longtail.world import ALONE, World

FILE = "checkpoint.safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds: the weights by name, and the optimiser's tensors by the number of the parameter."""

    step: int
    history: list[dict[str, float]]
    weights: dict[str, Tensor] = field(default_factory=dict)
    optimiser: dict[int, dict[str, Tensor]] = field(default_factory=dict)


def save_checkpoint(
    work: Path,
    fingerprint: str,
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    step: int,
    history: list[dict[str, float]],
) -> None:
    """Write the state after `step` steps into the directory `work`."""
    tensors = {f"weights.{name}": value.contiguous() for name, value in module.state_dict().items()}
    for number, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{name}": v.contiguous() for name, v in state.items() if torch.is_tensor(v)}
    about = {"fingerprint": fingerprint, "step": step, "history": history}
    work.mkdir(parents=True, exist_ok=True)
    new = work / f"{FILE}.new"
    text = json.dumps(about)
    write_weights(tensors, new, about={"about": text, "digest": digest(tensors, text)})
    os.replace(new, work / FILE)


def load_checkpoint(
    work: Path, fingerprint: str, module: nn.Module, optimiser: torch.optim.Optimizer, world: World = ALONE
) -> tuple[int, list[dict[str, float]]]:
    """Load the checkpoint in `work` and return its step and history; (0, []) if there is none of that fingerprint, or
    it is damaged, which is said.

    The first process reads it for all, so that they agree on the step even where the others do not see `work`.
    """
    stored = from_first(world, lambda: _read(work / FILE, fingerprint))
    if stored is None:
        return 0, []
    module.load_state_dict(stored.weights)
    optimiser.load_state_dict({"state": stored.optimiser, "param_groups": optimiser.state_dict()["param_groups"]})
    for parameter, state in optimiser.state.items():
        for name, value in state.items():
            if torch.is_tensor(value) and value.shape == parameter.shape:
                # Fused kernels pair both by where they lie in memory, and weights may lie with their channels last.
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
    return stored.step, stored.history


def _read(file: Path, fingerprint: str) -> Checkpoint | None:
    if not file.is_file():
        return None
    try:
        with safe_open(file, "pt") as stored:
            header = stored.metadata()
            about = json.loads(header["about"])
            if about["fingerprint"] != fingerprint:
                return None
            tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118 (not a dict)
        if digest(tensors, header["about"]) != header["digest"]:
            raise ValueError("its content has changed")
    except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
        print(f"warning: {file} is damaged ({error}): the training begins anew", file=sys.stderr)
        return None
    checkpoint = Checkpoint(about["step"], about["history"])
    for key, tensor in tensors.items():
        kind, rest = key.split(".", 1)
        if kind == "weights":
            checkpoint.weights[rest] = tensor
        else:
            number, name = rest.split(".", 1)
            checkpoint.optimiser.setdefault(int(number), {})[name] = tensor
    return checkpoint
