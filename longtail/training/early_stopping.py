"""Early stopping: a training ends when its loss on validation samples has not fallen for a while."""

import copy
import math
from functools import reduce

import numpy as np
import torch
from torch import Tensor, nn

from longtail.errors import DataError
from longtail.methods.base import Method
from longtail.network.device import device
from longtail.network.network import Network
from longtail.training.distributed import as_first, total
from longtail.training.inputs import Inputs
from longtail.training.loading import mini_batches
from longtail.world import ALONE, World


def validation_loss(
    network: Network, method: Method, inputs: Inputs, *, seed: int, halved: bool, world: World = ALONE
) -> float:
    """The mean loss of mini-batches of validation samples, as many as make one pass over those that a task labels (of
    tasks that draw for themselves, on average), or that any does where they share their images; where tasks take turns,
    so many more that each has had as many.

    `method` (`Method.measuring`) draws these samples alone, and weighs them as in the training. Images are as they are;
    where it takes several views, the further ones are augmented, the same every time. `halved`: in bfloat16. Raises
    DataError if it is not finite.
    """
    every = list(method.labels.values())
    if method.sampler.together:
        samples = float(np.count_nonzero(reduce(np.logical_or, (codes >= 0 for codes in every))))
    else:
        samples = sum(np.count_nonzero(codes >= 0) for codes in every) / len(every)
    turns = method.sampler.turns
    steps = range(turns * max(1, math.ceil(samples / method.sampler.batch / turns)))
    network.eval()
    as_first(world, network)  # running statistics are each process's own, and the first one's are kept
    sums = torch.zeros((), device=device())
    loader = mini_batches(inputs, method, seed=seed, steps=steps, device=device(), world=world)
    with torch.no_grad(), torch.autocast(device().type, torch.bfloat16, enabled=halved):
        for step, (images, batch) in zip(steps, loader, strict=True):
            torch.manual_seed(step)
            sums += total(world, {"loss": method.loss(network, images, batch)["loss"]})["loss"]
    mean = float(sums) / len(steps)
    if not math.isfinite(mean):
        raise DataError("the loss on validation is not finite: lower the learning rate")
    return mean


class Best(nn.Module):
    """What was best so far, as tensors, so that a checkpoint holds it: the weights, their loss and how old they are."""

    loss: Tensor
    age: Tensor

    def __init__(self, objective: nn.Module) -> None:
        super().__init__()
        self.kept = copy.deepcopy(objective).requires_grad_(requires_grad=False)
        self.register_buffer("loss", torch.tensor(math.inf, dtype=torch.float64))
        self.register_buffer("age", torch.tensor(0))

    def take(self, objective: nn.Module, loss: float) -> int:
        """Keep what has a smaller loss than all before; how many have had none since."""
        if loss < float(self.loss):
            self.kept.load_state_dict(objective.state_dict())
            self.loss.fill_(loss)
            self.age.zero_()
        else:
            self.age += 1
        return int(self.age)
