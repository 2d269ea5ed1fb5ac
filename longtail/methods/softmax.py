"""The softmax classifier: cross-entropy, with class-even mini-batches and class costs as options."""

import torch
import torch.nn.functional as F
from torch import Tensor

from longtail.methods.base import Batch, Drawn, Ints, Method
from longtail.models.network import Network
from longtail.samplers import Sampler, mean_weights


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

    def draw(self, step: int) -> dict[str, Drawn]:
        return {task: self._draw(task, sampler.positions(step)) for task, sampler in self.samplers.items()}

    def _draw(self, task: str, positions: Ints) -> Drawn:
        codes = self.labels[task][positions]
        return Drawn(positions, {"codes": codes, "weights": mean_weights(codes, cost=self.cost)})

    def loss(self, network: Network, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        total = torch.zeros((), device=images.device)
        for task, logits in network.logits(images).items():
            known = batch.about[task]
            losses = F.cross_entropy(logits[batch.draws[task]], known["codes"], reduction="none")
            total = total + (losses * known["weights"]).sum()
        return {"loss": total}
