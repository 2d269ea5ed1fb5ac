"""All that is trained, as one module: the exchange of gradients between processes hooks into a module's call."""

from torch import Tensor, nn

from longtail.methods.base import Method
from longtail.methods.batch import Batch
from longtail.network.network import Network


class Objective(nn.Module):
    """The network, and what the method has of its own; called, it gives the loss."""

    def __init__(self, network: Network, method: Method) -> None:
        super().__init__()
        self.network, self.method = network, method

    def forward(self, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        return self.method.loss(self.network, images, batch)
