"""The bootstrap over groups: what sums of a table would be, had other groups been drawn.

Augmented copies of one object, or photographs of one person, are dependent: groups are resampled, never single samples.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

# The weights of one block of resamples, and its sums, hold at most this many numbers (32 MiB of int64).
BLOCK = 2**22


def resampled_sums(table: Any, *, resamples: int, seed: int) -> Iterator[npt.NDArray[np.int64]]:
    """Yield, in blocks of b × columns, the column sums of `table` over bootstrap samples of its rows.

    `table` is a sparse integer matrix, groups × columns. Each of the `resamples` draws as many groups as there are,
    with replacement; a draw is a row of multinomial weights, so one sparse product serves a block. The same seed and
    number of groups give the same draws, hence paired intervals for methods compared on the same samples.
    """
    rng = np.random.default_rng(seed)
    groups = table.shape[0]
    per_block = max(1, BLOCK // max(1, *table.shape))
    for start in range(0, resamples, per_block):
        weights = multinomial_weights(rng, min(per_block, resamples - start), groups)
        yield np.asarray(table.T @ weights.T, dtype=np.int64).T


def multinomial_weights(rng: np.random.Generator, resamples: int, groups: int) -> npt.NDArray[np.int64]:
    """How often each group is drawn: int64, resamples × groups, every row summing to `groups`.

    Counting uniform draws has the same distribution as `rng.multinomial` and is ten times faster for many groups.
    """
    draws = rng.integers(groups, size=(resamples, groups))
    draws += np.arange(resamples)[:, None] * groups
    return np.bincount(draws.ravel(), minlength=resamples * groups).reshape(resamples, groups)


def percentile_interval(values: npt.NDArray[np.float64], level: float = 0.95) -> tuple[float, float] | None:
    """The central percentile interval of the finite `values`, or None if there are none."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return None
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
