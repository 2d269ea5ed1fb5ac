"""Whether a classifier is right as often as it says: expected calibration error (ECE), and temperature scaling.

Sources: Guo et al., On calibration of modern neural networks, ICML 2017 (ECE in bins of equal width, the temperature);
Kull et al., Beyond temperature scaling, NeurIPS 2019 (classwise ECE); Gupta and Ramdas, Top-label calibration and
multiclass-to-binary reductions, ICLR 2022 (calibration given the answer, here by its group).
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel

from longtail.metrics.probabilities import Blocks, negative_log_likelihood, probabilities
from longtail.metrics.scores import Codes, Floats, Mask

# Bins of confidence, those of Guo et al.: bin m holds what lies in ((m − 1) / 15, m / 15].
BINS = 15
EDGES = np.arange(1, BINS + 1) / BINS
COLDEST, HOTTEST = 0.01, 100.0


class Bin(BaseModel, frozen=True, extra="forbid"):
    """The images of a bin, and their mean confidence and accuracy in [0, 1]; None in an empty one."""

    images: int
    confidence: float | None
    accuracy: float | None


class Calibration(BaseModel, frozen=True, extra="forbid"):
    """Of `images`: the mean negative log-likelihood in nats, and calibration errors in [0, 1].

    `ece` is the mean gap between confidence and accuracy over the bins, weighed by their images. `many_ece`,
    `medium_ece` and `few_ece` are the same over the images that are answered by a class of the group, None where none
    is: chosen by their true class, images of rare classes show a gap even of perfect probabilities. `classwise_ece` is
    the mean, over the classes that have images, of the gap between the probability of the class and its frequency.
    """

    images: int
    nll: float
    ece: float
    classwise_ece: float
    many_ece: float | None
    medium_ece: float | None
    few_ece: float | None
    bins: list[Bin]


class _Answers(NamedTuple):
    """Of each sample: the class that is answered, its probability, whether it is right, and −log p of the truth."""

    answer: Codes
    confidence: Floats
    right: Mask
    nll: Floats


def fit_temperature(blocks: Blocks) -> float | None:
    """The temperature of least negative log-likelihood, from COLDEST to HOTTEST; None without a sample.

    It is 1 where no other is better. The likelihood has one extremum, since its log is concave in 1 / T. Where n
    samples are answered without a mistake the likeliest temperature is 0, which would make every answer certain: then
    the mean probability of the answers is made that of Laplace's rule of succession, (n + 1) / (n + 2).
    """
    # scipy.optimize takes a while to import, and only classifiers with logits need it.
    from scipy.optimize import minimize_scalar

    samples = sum(len(truth) for _, truth in blocks())
    if not samples:
        return None
    if all((logits.argmax(1) == truth).all() for logits, truth in blocks()):
        return _of_confidence(blocks, samples, (samples + 1) / (samples + 2))

    def loss(log_temperature: float) -> float:
        temperature = float(np.exp(log_temperature))
        return float(sum(negative_log_likelihood(*block, temperature).sum() for block in blocks())) / samples

    bounds = (np.log(COLDEST), np.log(HOTTEST))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x)) if found.fun < loss(0.0) else 1.0


def _of_confidence(blocks: Blocks, samples: int, wanted: float) -> float:
    """The temperature at which the mean probability of the answers is the wanted one; 1 where none is, as of a single
    class, or of answers that are one of several likeliest.
    """
    from scipy.optimize import brentq

    def excess(log_temperature: float) -> float:
        temperature = float(np.exp(log_temperature))
        return float(sum(probabilities(logits, temperature).max(1).sum() for logits, _ in blocks())) / samples - wanted

    coldest, hottest = np.log(COLDEST), np.log(HOTTEST)
    if not excess(coldest) > 0 > excess(hottest):
        return 1.0
    return float(np.exp(brentq(excess, coldest, hottest)))


def calibration(blocks: Blocks, temperature: float, groups: Mapping[str, Mask]) -> Calibration | None:
    """How well the softmax at a temperature is calibrated; None without a sample.

    `groups` has the masks (K,) of the classes that are many-, medium- and few-shot.
    """
    K = len(groups["many"])
    gaps, support = np.zeros((K, BINS)), np.zeros(K, np.int64)
    parts = []
    for logits, truth in blocks():
        shares = probabilities(logits, temperature)
        gaps += _classwise_gaps(shares, truth)
        support += np.bincount(truth, minlength=K)
        answer = logits.argmax(1)  # of the logits: two that differ may be equal as probabilities
        nll = negative_log_likelihood(logits, truth, temperature)
        parts.append(_Answers(answer, shares[np.arange(len(truth)), answer], answer == truth, nll))
    if not support.any():
        return None
    answers = _Answers(*(np.concatenate(part) for part in zip(*parts, strict=True)))
    by_group = {f"{name}_ece": _ece(answers, groups[name][answers.answer]) for name in ("many", "medium", "few")}
    return Calibration(
        images=int(support.sum()),
        nll=float(answers.nll.mean()),
        ece=_ece(answers, np.ones(len(answers.answer), np.bool_)) or 0.0,
        classwise_ece=float(np.abs(gaps[support > 0]).sum(1).mean() / support.sum()),
        **by_group,
        bins=_bins(answers),
    )


def _bin(shares: Floats) -> Codes:
    return np.minimum(np.searchsorted(EDGES, shares, side="left"), BINS - 1)


def _ece(answers: _Answers, counted: Mask) -> float | None:
    if not counted.any():
        return None
    gap = answers.confidence[counted] - answers.right[counted]
    return float(np.abs(np.bincount(_bin(answers.confidence[counted]), weights=gap)).sum() / counted.sum())


def _classwise_gaps(shares: Floats, truth: Codes) -> Floats:
    """For each class and bin the sum, over the samples in it, of the class's probability less 1 where it is true."""
    K = shares.shape[1]
    # Nearly all of n × K probabilities lie in the first bin, so only the others are looked up one by one.
    rows, classes = np.nonzero(shares > EDGES[0])
    high = shares[rows, classes]
    cells = classes * BINS + _bin(high)
    gaps: Floats = np.zeros((K, BINS))
    gaps += np.bincount(cells, weights=high, minlength=gaps.size).reshape(gaps.shape)
    gaps[:, 0] += shares.sum(0) - np.bincount(classes, weights=high, minlength=K)
    true_cells = truth * BINS + _bin(shares[np.arange(len(truth)), truth])
    gaps -= np.bincount(true_cells, minlength=gaps.size).reshape(gaps.shape)
    return gaps


def _bins(answers: _Answers) -> list[Bin]:
    bins = _bin(answers.confidence)
    images = np.bincount(bins, minlength=BINS)
    sums = (np.bincount(bins, weights=values, minlength=BINS) for values in (answers.confidence, answers.right))
    confidence, accuracy = (np.divide(of, images, where=images > 0, out=np.zeros(BINS)) for of in sums)
    return [
        Bin(images=int(n), confidence=float(c), accuracy=float(a))
        if n
        else Bin(images=0, confidence=None, accuracy=None)
        for n, c, a in zip(images, confidence, accuracy, strict=True)
    ]
