"""What poolings of maps have in common: float32, bounded memory, and what follows before a classifier."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

# Of what a pooling computes on the way, at a time. A CPU is no faster with more, a GPU hardly.
WORKING_BYTES = 2**28
# Signed square roots of values below this are nearly proportional to them: the slope at 0 is 1 / (2 √ε) = 5,000.
EPSILON = 1e-8


class MapPooling(nn.Module):
    """Maps N×P×C, of P positions, to N×`length` on the unit sphere.

    In float32 whatever the network works in: FFT has no bfloat16, and powers of features would lose what tells them
    apart. Some images at a time: beside maps and result no more than about WORKING_BYTES is held, whatever the
    mini-batch; where gradients are asked of more images than that, they are pooled once more on the way back.
    """

    length: int

    def forward(self, maps: Tensor) -> Tensor:
        with torch.autocast(maps.device.type, enabled=False):
            # An exported graph has no fixed number of images to part, and plans its memory itself.
            if torch.compiler.is_exporting():
                return self._pooled(maps)
            if not len(maps):  # FFT refuses no images
                return maps.new_zeros((0, self.length), dtype=torch.float32)
            gradients = torch.is_grad_enabled() and maps.requires_grad
            size = max(1, WORKING_BYTES // self.working_bytes(maps.shape[1], gradients=gradients))
            if len(maps) <= size:
                return self._pooled(maps)
            blocks = torch.split(maps, size)
            return torch.cat([checkpoint(self._pooled, block, use_reentrant=False) for block in blocks])

    def _pooled(self, maps: Tensor) -> Tensor:
        return F.normalize(signed_square_root(self.averaged(maps.float())), dim=1, eps=EPSILON**0.5)

    def averaged(self, maps: Tensor) -> Tensor:
        """float32 N×P×C to the mean over the positions of what the pooling makes of each, N×`length`."""
        raise NotImplementedError

    def working_bytes(self, positions: int, *, gradients: bool) -> int:
        """About how much memory an image takes on the way; `gradients`: there and back, where they go on to the maps.

        Here: what is as long as the result, from the means on.
        """
        return 4 * (8 if gradients else 4) * self.length


def signed_square_root(values: Tensor) -> Tensor:
    """sign(y) (√(|y| + ε) − √ε), in a form that is smooth at 0."""
    rooted: Tensor = values / ((values.abs() + EPSILON).sqrt() + EPSILON**0.5)
    return rooted
