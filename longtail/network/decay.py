"""Groups of parameters for an optimiser, and which of them weight decay leaves alone."""

from collections.abc import Mapping
from typing import Any

from torch import nn


def without_decay(parameter: nn.Parameter) -> None:
    """Mark a parameter as one that weight decay leaves alone."""
    parameter.without_decay = True  # type: ignore[attr-defined]


def parameter_groups(
    module: nn.Module, decay: float, shares: Mapping[nn.Parameter, float] | None = None
) -> list[dict[str, Any]]:
    """The parameters that are trained, for an optimiser: with weight decay, and those marked to be without. `share`: of
    the learning rate, 1 for those of which `shares` says nothing.
    """
    found: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for parameter in module.parameters():
        if parameter.requires_grad:
            key = (shares or {}).get(parameter, 1.0), getattr(parameter, "without_decay", False)
            found.setdefault(key, []).append(parameter)
    return [
        {"params": found[key], "weight_decay": 0.0 if key[1] else decay, "share": key[0]}
        for key in sorted(found, key=lambda key: (-key[0], key[1]))
    ]
