"""Mixup: training on mixtures of two images and of their labels; with `kappa`, Remix, which labels them as the rarer.

Sources: Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018; Chou et al., Remix: Rebalanced Mixup, ECCV
workshops 2020, Eq. 6 and 8.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, Field
from torch import Tensor

from longtail.methods.batch import to_device

Ints = npt.NDArray[np.int64]
TAU = 0.5  # the paper's


class Mixup(BaseModel, extra="forbid", frozen=True):
    """λ is drawn from Beta(α, α) once a step, by each of several processes for its own images.

    Remix: where one class has `kappa` times the samples of the other, and the rarer one's image a share of more than
    1 − `tau`, the label is the rarer one's alone.
    """

    alpha: float = Field(1.0, ge=0.01, le=1000, description="α of the Beta distribution of shares")
    kappa: float | None = Field(None, ge=1, description="null: mixup; the paper of Remix has 3")
    tau: float = Field(TAU, ge=0, le=1)


@dataclass(frozen=True)
class Mixed:
    """`images` (m, C, H, W): λ x_i + (1 − λ) x_j, j being the `partners` (m,) of i."""

    images: Tensor
    partners: Tensor
    share: float
    how: Mixup

    def label_shares(self, codes: Tensor, partners: Tensor, counts: Tensor) -> Tensor:
        """What share of the label each sample's own class has (n,): λ, or for Remix 0 or 1 (Eq. 8).

        `codes`, `partners` (n,): the classes of both, −1 where a partner has none; `counts` (K,): the training samples
        of the classes.
        """
        shares = torch.full(codes.shape, self.share, device=codes.device)
        if self.how.kappa is None:
            return shares
        known, own, other = partners >= 0, counts[codes].double(), counts[partners.clamp(min=0)].double()
        if self.share < self.how.tau:
            shares = torch.where(known & (own >= self.how.kappa * other), 0.0, shares)
        if 1 - self.share < self.how.tau:
            shares = torch.where(known & (other >= self.how.kappa * own), 1.0, shares)
        return shares


def mix(images: Tensor, how: Mixup) -> Mixed:
    """Mix each image (m, C, H, W) with another of the mini-batch, of several processes with one of the same process.

    What is random is drawn by torch's own generator for the CPU, which every step seeds.
    """
    share = float(torch.distributions.Beta(how.alpha, how.alpha).sample())
    partners = to_device(torch.randperm(len(images)), images.device)
    return Mixed(share * images + (1 - share) * images[partners], partners, share, how)


def label_weights(
    codes: Ints, weights: npt.NDArray[np.floating], partners: Ints, counts: Ints, how: Mixup
) -> tuple[Ints, npt.NDArray[np.float32]]:
    """The classes (k,) of a mini-batch, and the weight (k,) that the labels of its mixtures give each on average.

    `codes`, `weights` (n,): the classes of the samples, and what each counts in the loss, the same for all of a class;
    `partners` (m,): the classes of the images with which these are mixed, each once, −1 where there is none; `counts`
    (K,).
    """
    from scipy.special import betainc  # half a second to import, and few trainings mix

    classes, place = np.unique(codes, return_inverse=True)
    weighted = np.bincount(place, weights, len(classes))
    known = np.searchsorted(classes, partners[partners >= 0])
    drawn = np.bincount(known, minlength=len(classes)) / max(1, len(partners))
    share = np.full((len(classes), len(classes)), 0.5)  # of its own class, in the label of (own, other)
    if how.kappa is not None:
        sizes = counts[classes].astype(np.float64)
        more = sizes[:, None] >= how.kappa * sizes
        # E[λ; λ < τ] of Beta(α, α): what the frequent class of a pair loses, and the rare one gains.
        lost = 0.5 * float(betainc(how.alpha + 1, how.alpha, how.tau))
        share += lost * (more.T.astype(np.float64) - more)
    of_own = weighted * (share @ drawn) + weighted * 0.5 * (1 - drawn.sum())
    rows = np.bincount(place, minlength=len(classes))
    of_partners = drawn * weighted / np.maximum(1, rows) * (rows @ (1 - share))
    return classes, (of_own + of_partners).astype(np.float32)
