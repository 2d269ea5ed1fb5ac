"""Tensor sketches: products of every p entries of a vector, hashed into few sums, by products of spectra.

Sources: Pham and Pagh, Fast and Scalable Polynomial Kernels via Explicit Feature Maps, KDD 2013; the thesis "Learning
from fine-grained and long-tailed visual data", chapter 3, Eq. 3.8 and 3.9.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn


class TensorSketch(nn.Module):
    """Count sketches C_1 … C_p of vectors of C entries, of `dimension` sums each, by hash functions that `seed` draws.

    The functions are buffers, so they travel with the weights. They are floats: an average of weights over a training
    takes in buffers, and makes other numbers of integers that never change.
    """

    def __init__(self, channels: int, order: int, dimension: int, seed: int) -> None:
        super().__init__()
        self.dimension = dimension
        generator = torch.Generator().manual_seed(seed)
        places = torch.randint(dimension, (order, channels), generator=generator)
        signs = 2 * torch.randint(2, (order, channels), generator=generator) - 1
        self.places: Tensor
        self.signs: Tensor
        self.register_buffer("places", places.float())
        self.register_buffer("signs", signs.float())

    def forward(self, maps: Tensor) -> Iterator[Tensor]:
        """float32 N×P×C to the sketches of x⊗x, x⊗x⊗x, … of each vector, their means over the positions: N×`dimension`
        for each of the orders 2 to p.
        """
        count, positions, channels = maps.shape
        vectors = maps.reshape(-1, channels).T.contiguous()  # whole rows are added: ten times as fast as entries
        spectrum = self._spectrum(vectors, 0)
        for level in range(1, len(self.places)):
            spectrum = spectrum * self._spectrum(vectors, level)
            # The transform is linear: the mean first, and one transform back for all positions of an image.
            mean = spectrum.view(-1, count, positions).mean(2)
            yield torch.fft.irfft(mean, self.dimension, dim=0).T

    def _spectrum(self, vectors: Tensor, level: int) -> Tensor:
        """Vectors C×M to the transforms of their count sketches (Eq. 3.8), complex (`dimension` // 2 + 1)×M."""
        sums = vectors.new_zeros(self.dimension, vectors.shape[1])
        sketched = sums.index_add(0, self.places[level].long(), self.signs[level, :, None] * vectors)
        spectrum: Tensor = torch.fft.rfft(sketched, dim=0)
        return spectrum

    def working_bytes(self, positions: int, *, gradients: bool) -> int:
        """For an image's positions the vectors with and without signs, the sums, the transforms and their product.

        With gradients the way back needs the signed vectors and the sums of each order, and both factors of each
        product; it has four such transforms at work beside them.
        """
        order, channels = self.places.shape
        transforms, vectors = (order + 2 * (order - 1) + 4, order) if gradients else (4, 2)
        return 4 * (transforms * (self.dimension + 2) + vectors * channels) * positions
