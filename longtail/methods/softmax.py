"""The softmax classifier: cross-entropy, with class-even mini-batches and class costs as options."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from longtail.methods.base import Batch, Ints, Method
from longtail.models.network import Network
from longtail.samplers import Sampler, inverse_frequency_weights


class Softmax(Method):
    """Cross-entropy of each task over the samples that are drawn for it; a missing label is never drawn."""

    def __init__(self, labels: dict[str, Ints], *, batch: int, class_even: bool, cost: bool, seed: int) -> None:
        """`labels`: task → (n,) class codes of the split's samples, −1 for whatever is not to be trained on; `batch`:
        samples a step and task, of all processes together.
        """
        self.labels = labels
        self.cost = cost
        self.samplers = {
            task: Sampler(codes, batch, class_even=class_even, seed=seed + number)
            for number, (task, codes) in enumerate(labels.items())
        }

    def draw(self, step: int) -> dict[str, Ints]:
        # Remembered for the loss: the samples of all processes, whose classes decide the weights.
        self.drawn = {task: sampler.positions(step) for task, sampler in self.samplers.items()}
        return self.drawn

    def loss(self, network: Network, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        total = torch.zeros((), device=images.device)
        for task, logits in network.logits(images).items():
            codes = self.labels[task][self.drawn[task]]
            weights = self._weights(codes)[batch.share].to(images.device)
            mine = torch.from_numpy(codes[batch.share]).to(images.device)
            losses = F.cross_entropy(logits[batch.draws[task]], mine, reduction="none")
            total = total + (losses * weights).sum()
        return {"loss": total}

    def _weights(self, codes: Ints) -> Tensor:
        """Weights that sum to 1: a mean over the batch, or over its classes."""
        even = np.full(len(codes), 1 / len(codes), np.float32)
        return torch.from_numpy(inverse_frequency_weights(codes) if self.cost else even)
