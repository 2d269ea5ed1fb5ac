"""Supervised contrastive learning (Khosla et al., NeurIPS 2020): of all others an anchor picks those of its class."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from longtail.methods.base import MethodParams, Setup
from longtail.methods.in_batch import AnchorMethod


class Params(MethodParams):
    """The temperature τ, and whether each image is warped twice, as in the paper: of a class that a mini-batch has one
    sample of, the other view is the only positive.
    """

    kind: Literal["contrastive"] = "contrastive"
    temperature: float = Field(0.1, ge=0.001, le=10, description="τ: what cosines are divided by")
    two_views: bool = Field(False, description="two warps of each image, which are positives of each other")

    def build(self, setup: Setup) -> "Contrastive":
        return Contrastive(setup, self)


class Contrastive(AnchorMethod):
    """The loss is on the embedding itself, which the rules search, and not on a projection that is thrown away."""

    def __init__(self, setup: Setup, params: Params) -> None:
        super().__init__(setup, views=2 if params.two_views else 1)
        self.temperature = params.temperature

    def losses(self, embeddings: Tensor, codes: Tensor) -> Tensor:
        return contrastive_losses(embeddings, codes, self.temperature)


def contrastive_losses(embeddings: Tensor, codes: Tensor, temperature: float) -> Tensor:
    """L_out of each anchor (Eq. 2): minus the mean over its positives p of log exp(z·z_p/τ) / Σ_a exp(z·z_a/τ), a all
    but the anchor. Embeddings (n, d), class codes (n,), to (n,); 0 without a positive.
    """
    oneself = torch.eye(len(codes), dtype=torch.bool, device=codes.device)
    # Not −∞: an anchor that is alone would have no number at all.
    logits = (embeddings @ embeddings.T / temperature).masked_fill(oneself, torch.finfo(embeddings.dtype).min)
    log_shares = logits.log_softmax(dim=1)
    positive = (codes[:, None] == codes) & ~oneself
    return -torch.where(positive, log_shares, 0).sum(1) / positive.sum(1).clamp(min=1)
