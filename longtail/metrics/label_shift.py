"""Class priors of a test set that may differ from the training's: accuracy under each follows from the recalls.

Source: Hong et al., Disentangling label distribution for long-tailed visual recognition, CVPR 2021, section 4.3. They
draw a test set for each prior; weights on the recalls give the mean over all such draws.
"""

from collections.abc import Sequence

import numpy as np

from longtail.metrics.scores import Codes, Floats, Mask

# How many times as often the most frequent class comes as the least frequent one.
FACTORS = (50, 10, 2)


def shifted_priors(train_counts: Sequence[int], foreground: Mask) -> dict[str, Floats]:
    """By name the share of each class (K,): forward (long-tailed as in training), even, and backward (turned round).

    Shares fall exponentially over the classes by their training images; of equal ones the first in the task's order
    comes first. The background class has the share 0.
    """
    sizes = np.asarray(train_counts, dtype=np.int64)
    order = np.flatnonzero(foreground)
    order = order[np.argsort(-sizes[order], kind="stable")]
    return {
        **{f"forward {factor}": _profile(order, factor, len(sizes)) for factor in FACTORS},
        "even": _profile(order, 1, len(sizes)),
        **{f"backward {factor}": _profile(order[::-1], factor, len(sizes)) for factor in reversed(FACTORS)},
    }


def _profile(order: Codes, factor: int, class_count: int) -> Floats:
    shares = np.zeros(class_count)
    fallen = float(factor) ** -np.linspace(0, 1, len(order))
    shares[order] = fallen / fallen.sum()
    return shares
