"""Prediction sets: classes of which the true one is among them in at least 90 % of the images (split conformal).

Sources: Sadinle, Lei and Wasserman, Least ambiguous set-valued classifiers, JASA 2019 (score 1 − p, for all classes
together or each for itself); Vovk, Conditional validity of inductive conformal predictors, ACML 2012 (each class for
itself); Ding, Fermanian and Salmon, Conformal prediction for long-tailed classification, 2025, arXiv:2507.06867
(prevalence-adjusted softmax).
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from longtail.metrics.probabilities import Blocks, probabilities
from longtail.metrics.scores import Codes, Floats, Mask

# The share of images whose set may miss the true class.
ALPHA = 0.1
# A threshold needs so many validation samples.
FEWEST = math.ceil(1 / ALPHA) - 1
MARGINAL, BY_CLASS, ADJUSTED = "marginal", "class_conditional", "prevalence_adjusted"


class ClassSets(BaseModel, frozen=True, extra="forbid"):
    """One class: its validation and test images, and of the latter the share whose set holds it, and their mean set
    size; None where there is none. `always`: it is in every set.
    """

    name: str
    validation: int
    support: int
    coverage: float | None
    size: float | None
    always: bool


class PredictionSets(BaseModel, frozen=True, extra="forbid"):
    """The sets of one kind on `images`: their mean size, and their coverage, the share that hold the true class.

    `mean_class_coverage` is over the classes that have images, and so are `lowest_coverage` and those of many-, medium-
    and few-shot classes; None without any. `always` classes are in every set.
    """

    images: int
    size: float
    coverage: float
    mean_class_coverage: float
    lowest_coverage: float
    many_coverage: float | None
    medium_coverage: float | None
    few_coverage: float | None
    always: int
    per_class: list[ClassSets]

    def worst_classes(self, number: int) -> list[ClassSets]:
        """The classes of lowest coverage, at most so many; of equals the one with more test images first."""
        tested = [row for row in self.per_class if row.coverage is not None]
        return sorted(tested, key=lambda row: (row.coverage, -row.support))[:number]


def rank(samples: int, alpha: float = ALPHA) -> int:
    """Which of so many scores is the threshold, the smallest being 1: ⌈(n + 1)(1 − α)⌉, maybe beyond the last."""
    return math.ceil((samples + 1) * (1 - alpha) - 1e-9)  # 10 × 0.9 must not become 10 by rounding


def least_probabilities(
    blocks: Blocks, foreground: Mask, prior: npt.ArrayLike | None, alpha: float = ALPHA
) -> dict[str, Floats]:
    """By kind the least probability (K,) with which each class enters a set, from validation samples.

    All classes share a threshold of the probability (marginal), each has its own (class-conditional), or all share one
    of the probability over the class's `prior` (prevalence-adjusted; left out without a prior). Classes have 0, and are
    in every set, where too few samples decide, or the prior is 0; the background class is in none.
    """
    K = len(foreground)
    shares, truth = [np.empty(0)], [np.empty(0, np.int64)]
    for logits, of in blocks():
        shares.append(probabilities(logits)[np.arange(len(of)), of])
        truth.append(of)
    of_truth, classes = np.concatenate(shares), np.concatenate(truth)
    found = {MARGINAL: np.full(K, _least(of_truth, alpha)), BY_CLASS: _least_of_each(of_truth, classes, K, alpha)}
    if prior is not None:
        weights = np.asarray(prior, np.float64)
        adjusted = np.divide(of_truth, weights[classes], where=weights[classes] > 0, out=np.full(len(classes), np.inf))
        least = _least(adjusted, alpha)
        found[ADJUSTED] = np.zeros(K)
        # Rounded down: no class may miss a set by the last bit of a product.
        found[ADJUSTED][weights > 0] = least * weights[weights > 0] * (1 - 1e-12)
    return {kind: np.where(foreground, floors, np.inf) for kind, floors in found.items()}


def _least(shares: Floats, alpha: float) -> float:
    """With the score −p, the threshold; without one, since there are too few, 0."""
    kth = rank(len(shares), alpha)
    return float(np.sort(shares)[len(shares) - kth]) if kth <= len(shares) else 0.0


def _least_of_each(shares: Floats, classes: Codes, K: int, alpha: float) -> Floats:
    parts = np.split(shares[np.argsort(classes, kind="stable")], np.cumsum(np.bincount(classes, minlength=K))[:-1])
    return np.array([_least(of_class, alpha) for of_class in parts])


def prediction_sets(
    blocks: Blocks, floors: Mapping[str, Floats], validation: Codes, classes: Sequence[str], groups: Mapping[str, Mask]
) -> dict[str, PredictionSets]:
    """By kind what the sets of test samples hold; empty without a sample.

    `floors` are the least probabilities by kind, `validation` (K,) the samples that they come from; `groups` has the
    masks (K,) of the classes that are many-, medium- and few-shot.
    """
    K = len(classes)
    support = np.zeros(K, np.int64)
    held, sizes = ({kind: np.zeros(K) for kind in floors} for _ in range(2))
    for logits, truth in blocks():
        shares = probabilities(logits)
        support += np.bincount(truth, minlength=K)
        for kind, least in floors.items():
            inside = shares >= least
            held[kind] += np.bincount(truth[inside[np.arange(len(truth)), truth]], minlength=K)
            sizes[kind] += np.bincount(truth, weights=inside.sum(1), minlength=K)
    if not support.any():
        return {}
    return {
        kind: _summary(held[kind], sizes[kind], support, floors[kind], validation, classes, groups) for kind in floors
    }


def _summary(
    held: Floats,
    sizes: Floats,
    support: Codes,
    floors: Floats,
    validation: Codes,
    classes: Sequence[str],
    groups: Mapping[str, Mask],
) -> PredictionSets:
    present = support > 0
    coverage, size = (np.divide(of, support, where=present, out=np.full(len(of), np.nan)) for of in (held, sizes))
    of_groups = {name: coverage[groups[name] & present] for name in ("many", "medium", "few")}
    return PredictionSets(
        images=int(support.sum()),
        size=float(sizes.sum() / support.sum()),
        coverage=float(held.sum() / support.sum()),
        mean_class_coverage=float(coverage[present].mean()),
        lowest_coverage=float(coverage[present].min()),
        **{f"{name}_coverage": float(of.mean()) if len(of) else None for name, of in of_groups.items()},
        always=int((floors == 0).sum()),
        per_class=[
            ClassSets(
                name=classes[c],
                validation=int(validation[c]),
                support=int(support[c]),
                coverage=float(coverage[c]) if present[c] else None,
                size=float(size[c]) if present[c] else None,
                always=bool(floors[c] == 0),
            )
            for c in np.flatnonzero(groups["many"] | groups["medium"] | groups["few"]).tolist()
        ],
    )
