"""Fresh quintuplets: the partners of Eq. 1 among the samples of a mini-batch, by its own embeddings.

A mini-batch is a small random subset, so its extremes are semi-hard, as the paper wants them (LMLE, section 3.2).
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Mined(NamedTuple):
    """`members` (B, 5): rows of the mini-batch, anchor, p+, p−, p−−, n. `has_other_cluster` (B,): False where p− does
    not exist, and p−− stands in its place. `has_negative` (B,): False in a mini-batch of one class.
    """

    members: Tensor
    has_other_cluster: Tensor
    has_negative: Tensor

    @property
    def whole(self) -> Tensor:
        """Which (B,) are whole, as in `table_shares`."""
        anchor, plus, minus, far, _ = self.members.unbind(1)
        return (plus != anchor) & self.has_other_cluster & (minus != far) & (plus != far) & self.has_negative


@torch.no_grad()
def batch_quintuplets(embeddings: Tensor, codes: Tensor, clusters: Tensor) -> Mined:
    """The quintuplet of each sample; `embeddings` (B, d), `codes` and `clusters` (B,): class codes and the clusters.

    A sample alone in its cluster is its own p+, one alone in its class its own p−−. Of equals the first is taken.
    """
    points = embeddings.float()
    # By a product, which is the default of larger mini-batches, what is close together would be told apart by rounding.
    distances = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    itself = torch.arange(len(codes), device=codes.device)
    others = itself[:, None] != itself
    of_class = codes[:, None] == codes
    of_cluster = clusters[:, None] == clusters
    plus = _extreme(distances, of_cluster & others, itself)
    far = _extreme(distances, of_class & others, itself)
    minus = _extreme(-distances, of_class & ~of_cluster, far)
    negative = _extreme(-distances, ~of_class, itself)
    members = torch.stack([itself, plus, minus, far, negative], dim=1)
    return Mined(members, (of_class & ~of_cluster).any(1), (~of_class).any(1))


def _extreme(values: Tensor, allowed: Tensor, otherwise: Tensor) -> Tensor:
    """The column of the greatest allowed value of each row."""
    if not len(otherwise):  # a task without a label in the mini-batch
        return otherwise
    found = values.masked_fill(~allowed, -torch.inf).argmax(1)
    return torch.where(allowed.any(1), found, otherwise)
