"""Imbalance injected into the training subset: how many samples each class keeps, and which."""

import math
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from longtail.data.members import members
from longtail.errors import DataError

Ints = npt.NDArray[np.int64]


class Gaussian(BaseModel, extra="forbid", frozen=True):
    """Keep rates that are Gaussian over the class order, the middle classes kept whole (LMLE, Table 5)."""

    kind: Literal["gaussian"]
    removed: float = Field(gt=0, lt=1, description="share of all samples to remove")


class Exponential(BaseModel, extra="forbid", frozen=True):
    """n_c = ⌊n_0 · factor^(−c / (K − 1))⌋ over the class order (Cui et al. 2019), as the published lists have it."""

    kind: Literal["exponential"]
    factor: float = Field(gt=1, description="largest class over smallest")


class Step(BaseModel, extra="forbid", frozen=True):
    """The last `minority` share of the classes has `factor` times fewer samples (Buda et al. 2018).

    Of K classes at least one is in the minority, and at most K − 1.
    """

    kind: Literal["step"]
    factor: float = Field(gt=1)
    minority: float = Field(0.5, gt=0, lt=1)


class Balanced(BaseModel, extra="forbid", frozen=True):
    """No imbalance is injected."""

    kind: Literal["none"] = "none"


Injection = Annotated[Gaussian | Exponential | Step | Balanced, Field(discriminator="kind")]
NONE = Balanced()


def kept_counts(counts: Ints, injection: Injection) -> Ints:
    """How many samples of each class stay, at least one and at most what there is. Shape (K,).

    The published long tails are truncated, steps too. A Gaussian is rounded: its share of all is what counts.
    """
    classes = np.arange(len(counts))
    if isinstance(injection, Gaussian):
        target = counts * gaussian_rates(counts, injection.removed)
    elif isinstance(injection, Exponential):
        target = counts[0] * injection.factor ** (-classes / max(1, len(counts) - 1))
    elif isinstance(injection, Step):
        few = min(max(1, round(injection.minority * len(counts))), len(counts) - 1)
        minority = classes >= len(counts) - few
        target = np.where(minority, counts.max() / injection.factor, counts)
    else:
        target = counts.astype(float)
    # 5000 / 100 is 50 whatever the last bit of a power says.
    whole = np.rint(target) if isinstance(injection, Gaussian) else np.floor(target * (1 + 1e-12))
    kept: Ints = np.clip(whole, 1, counts).astype(np.int64)
    return kept


def gaussian_rates(counts: Ints, removed: float) -> npt.NDArray[np.float64]:
    """Keep rates exp(−(c − (K − 1)/2)² / 2σ²), scaled to a peak of 1, with σ such that `removed` of all goes."""
    distance = np.arange(len(counts)) - (len(counts) - 1) / 2

    def rates(log_sigma: float) -> npt.NDArray[np.float64]:
        rate = np.exp(-((distance / math.exp(log_sigma)) ** 2) / 2)
        return np.asarray(rate / rate.max())

    def surplus(log_sigma: float) -> float:
        return float((counts * rates(log_sigma)).sum() / counts.sum() - (1 - removed))

    if surplus(-3.0) > 0:  # even the narrowest Gaussian keeps the middle class, or two
        most = 1 - (counts * rates(-3.0)).sum() / counts.sum()
        raise DataError(
            f"imbalance: a Gaussian over {len(counts)} classes can remove at most {most:.0%} of the samples, "
            f"and removed is {removed}; ask for less, or for another kind of imbalance"
        )
    # scipy's optimisers take half a second to import, and only this kind of imbalance needs one.
    from scipy.optimize import brentq

    # With σ = K / √removed at most an eighth of `removed` goes: the distances are K / 2 at most.
    widest = max(10.0, math.log(len(counts)) - math.log(removed) / 2)
    return rates(float(brentq(surplus, -3.0, widest)))


def choose_kept(labels: Ints, units: Ints, kept: Ints, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Which samples stay: whole units of a class, in random order, until the class is as near to its count as can be.

    `labels` (n,) class codes, −1 missing (always kept); `units` (n,) codes: what is kept or removed together.
    """
    keep, of_class = labels < 0, members(labels)
    for code, count in enumerate(kept):
        own = of_class[code]
        names, inverse, sizes = np.unique(units[own], return_inverse=True, return_counts=True)
        order = rng.permutation(len(names))
        total = np.cumsum(sizes[order])
        number = max(1, int(np.argmin(np.abs(total - count))) + 1)
        chosen = np.zeros(len(names), bool)
        chosen[order[:number]] = True
        keep[own] = chosen[inverse]
    return keep
