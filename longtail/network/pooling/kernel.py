"""Compact bilinear pooling and kernel pooling: features whose inner products are a kernel of the maps' vectors.

Sources: Gao et al., Compact Bilinear Pooling, CVPR 2016; Cui et al., Kernel Pooling for Convolutional Neural Networks,
CVPR 2017, as the thesis "Learning from fine-grained and long-tailed visual data" has it: chapter 3, Algorithm 1.
"""

import math

import torch
from torch import Tensor, nn

from longtail.network.decay import without_decay
from longtail.network.pooling.count_sketch import TensorSketch
from longtail.network.pooling.layer import MapPooling


class CompactBilinear(MapPooling):
    """Tensor sketches of order 2 alone."""

    def __init__(self, channels: int, dimension: int, seed: int) -> None:
        super().__init__()
        self.length, self.sketch = dimension, TensorSketch(channels, 2, dimension, seed)

    def averaged(self, maps: Tensor) -> Tensor:
        """See `MapPooling`."""
        (products,) = self.sketch(maps)
        sketched: Tensor = products
        return sketched

    def working_bytes(self, positions: int, *, gradients: bool) -> int:
        """See `MapPooling`; and those of the sketch."""
        of_sketch = self.sketch.working_bytes(positions, gradients=gradients)
        return super().working_bytes(positions, gradients=gradients) + of_sketch


class Kernel(MapPooling):
    """[α_0, α_1 x, α_2 x̃^(2), …, α_p x̃^(p)] (Eq. 3.7): inner products approximate Σ α_i² (xᵀy)^i.

    The coefficients begin as those of the Gaussian RBF, α_i² = (2γ)^i / i! (Eq. 3.11) without its factor β, which the
    normalisation cancels. (2γ)^i is had by scaling x, so that powers stay within float32, and what is learned, if the
    coefficients are, is of order 1. γ is NaN until it is given or measured (`training.beginning`).
    """

    def __init__(
        self, channels: int, order: int, dimension: int, seed: int, *, gamma: float | None, learned: bool
    ) -> None:
        super().__init__()
        self.length = 1 + channels + (order - 1) * dimension
        self.sketch = TensorSketch(channels, order, dimension, seed)
        self.gamma: Tensor
        self.register_buffer("gamma", torch.tensor(math.nan if gamma is None else gamma))
        of_rbf = torch.tensor([1 / math.sqrt(math.factorial(level)) for level in range(order + 1)])
        self.coefficients = nn.Parameter(of_rbf, requires_grad=learned)
        without_decay(self.coefficients)

    def averaged(self, maps: Tensor) -> Tensor:
        """See `MapPooling`."""
        scaled = (2 * self.gamma).sqrt() * maps
        first = scaled.mean(1)
        levels = [torch.ones_like(first[:, :1]), first, *self.sketch(scaled)]
        return torch.cat([alpha * level for alpha, level in zip(self.coefficients, levels, strict=True)], dim=1)

    def working_bytes(self, positions: int, *, gradients: bool) -> int:
        """See `MapPooling`; those of the sketch, and the scaled maps."""
        of_sketch = self.sketch.working_bytes(positions, gradients=gradients)
        scaled = 4 * positions * self.sketch.places.shape[1]
        return super().working_bytes(positions, gradients=gradients) + of_sketch + scaled
