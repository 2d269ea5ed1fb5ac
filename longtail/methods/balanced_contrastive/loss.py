"""The balanced contrastive loss: class-averaging and class-complement (BCL)."""

import torch
from torch import Tensor


def balanced_contrastive_losses(points: Tensor, codes: Tensor, prototypes: Tensor, temperature: float) -> Tensor:
    """For each anchor z minus the mean over its positives p of log exp(z·p/τ) / Σ_j mean_k exp(z·k/τ), j the classes
    and k the members of class j.

    Parameters: `points` (n, d) and `prototypes` (K, d) on the unit sphere; `codes` (n,): classes below K. A class's
    members are its points and its prototype (class-complement), so that none is missing from a mini-batch; the anchor
    itself is left out, and an anchor's positives are the members of its class. In the denominator a class is their mean
    (class-averaging), over as many as there are, as in the authors' code. Result: (n,).
    """
    classes = torch.cat([codes, torch.arange(len(prototypes), device=codes.device)])
    same = codes[:, None] == classes
    oneself = torch.eye(len(codes), len(classes), dtype=torch.bool, device=codes.device)
    logits = points @ torch.cat([points, prototypes]).T / temperature
    counts = classes.new_zeros(len(prototypes)).index_add(0, classes, torch.ones_like(classes))
    members = counts[classes] - same.long()
    averaged = (logits - members.to(logits.dtype).clamp(min=1).log()).masked_fill(oneself, -torch.inf)
    positive = same & ~oneself
    log_shares = torch.where(positive, logits - averaged.logsumexp(1, keepdim=True), 0)
    return -log_shares.sum(1) / positive.sum(1)
