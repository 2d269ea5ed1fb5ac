"""Bilinear pooling: the mean of the outer products of a map's vectors with themselves.

Source: Lin et al., Bilinear CNN Models for Fine-grained Visual Recognition, ICCV 2015.
"""

import torch
from torch import Tensor

from longtail.network.pooling.layer import MapPooling


class Bilinear(MapPooling):
    """An outer product is symmetric: its upper triangle has all of it, with √2 off the diagonal the same inner products
    and norms in half the length, C (C + 1) / 2.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.length = channels * (channels + 1) // 2
        rows, columns = torch.triu_indices(channels, channels)
        self.places: Tensor
        self.weights: Tensor
        self.register_buffer("places", rows * channels + columns, persistent=False)
        # The square root that follows makes √2 of 2, and the same of both of a pair that is one here.
        self.register_buffer("weights", torch.where(rows == columns, 1.0, 2.0), persistent=False)

    def averaged(self, maps: Tensor) -> Tensor:
        """See `MapPooling`; no outer product of a single position is ever there."""
        products = maps.transpose(1, 2) @ maps / maps.shape[1]
        return products.flatten(1)[:, self.places] * self.weights

    def working_bytes(self, positions: int, *, gradients: bool) -> int:
        """The products, and a handful of their halves, there and back."""
        return 4 * 6 * self.length
