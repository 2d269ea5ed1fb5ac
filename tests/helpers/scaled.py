"""A method that the package does not have, with all that one may bring: parameters of its own, two views, a head.

As a program it is the command line of a package that has it.
"""

import sys
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from longtail.methods import catalogue
from longtail.methods.base import Method, MethodParams, Setup
from longtail.methods.batch import Batch
from longtail.network.network import Network

ENTRY = catalogue.Entry(
    title="Cross-entropy at a learned scale ({agreement})",
    paper="none",
    rule="head",
    parts={"cross_entropy": "cross-entropy", "agreement": "agreement of the views"},
)


class Params(MethodParams):
    kind: Literal["scaled"] = "scaled"
    agreement: float = 0.5

    def build(self, setup: Setup) -> "Scaled":
        return Scaled(setup, self.agreement)

    def head(self, features: int, classes: int) -> nn.Module:
        return nn.Sequential(nn.Linear(features, 5), nn.ReLU(), nn.Linear(5, classes, bias=False))


class Scaled(Method):
    """Cross-entropy of the first view at a learned scale, and how far the second view's scores are from its."""

    views = 2

    def __init__(self, setup: Setup, agreement: float) -> None:
        super().__init__(setup)
        self.agreement = agreement
        self.scale = nn.Parameter(torch.ones(()))
        self.steps: Tensor
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def loss(self, network: Network, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        self.steps += 1
        parts = {name: torch.zeros((), device=images.device) for name in ("cross_entropy", "agreement", "scale")}
        for task, logits in network.logits(images).items():
            rows, targets = batch.rows[task], batch.targets[task]
            first, second = logits[rows], logits[rows + len(batch.samples)]
            losses = F.cross_entropy(self.scale * first, targets["codes"], reduction="none")
            apart = (first - second).square().mean(1)
            # Its weights sum to 1 over the processes, so the last is a mean over the tasks.
            values = (losses, apart, self.scale.detach() / len(batch.rows))
            for name, of_each in zip(parts, values, strict=True):
                parts[name] = parts[name] + (of_each * targets["weights"]).sum()
        return {"loss": parts["cross_entropy"] + self.agreement * parts["agreement"]} | parts


if __name__ == "__main__":
    from longtail.__main__ import main

    catalogue.CATALOGUE["scaled"] = ENTRY
    sys.modules["longtail.methods.scaled"] = sys.modules[__name__]
    main()
