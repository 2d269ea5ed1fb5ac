"""Checkpoints of a training in progress: weights and optimiser as safetensors, never a pickle.

One file is replaced in one step, so a kill at any moment leaves the last whole checkpoint.
"""

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

FILE = "checkpoint.safetensors"


def save_checkpoint(
    work: Path,
    fingerprint: str,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    step: int,
    history: list[dict[str, float]],
) -> None:
    """Write the state after `step` steps into the directory `work`."""
    tensors = {f"network.{name}": value.contiguous() for name, value in network.state_dict().items()}
    for number, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{name}": v.contiguous() for name, v in state.items() if torch.is_tensor(v)}
    about = {"fingerprint": fingerprint, "step": step, "history": history}
    work.mkdir(parents=True, exist_ok=True)
    new = work / f"{FILE}.new"
    save_file(tensors, new, metadata={"about": json.dumps(about)})
    os.replace(new, work / FILE)


def load_checkpoint(
    work: Path, fingerprint: str, network: nn.Module, optimiser: torch.optim.Optimizer
) -> tuple[int, list[dict[str, float]]]:
    """Load the checkpoint in `work` and return its step and history; (0, []) if there is none of that fingerprint."""
    file = work / FILE
    if not file.is_file():
        return 0, []
    weights: dict[str, torch.Tensor] = {}
    slots: dict[int, dict[str, Any]] = {}
    with safe_open(file, "pt") as stored:
        about = json.loads(stored.metadata()["about"])
        if about["fingerprint"] != fingerprint:
            return 0, []
        for key in stored.keys():  # noqa: SIM118 (not a dict)
            kind, rest = key.split(".", 1)
            if kind == "network":
                weights[rest] = stored.get_tensor(key)
            else:
                number, name = rest.split(".", 1)
                slots.setdefault(int(number), {})[name] = stored.get_tensor(key)
    network.load_state_dict(weights)
    optimiser.load_state_dict({"state": slots, "param_groups": optimiser.state_dict()["param_groups"]})
    return about["step"], about["history"]
