"""Class probabilities from logits, a block of samples at a time: of 10,000 classes nobody has memory for all."""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from longtail.metrics.scores import Codes, Floats

Logits = npt.NDArray[np.floating]
# Each call begins anew: the logits (n, K) of some samples and their classes (n,), all of them known, block by block.
Blocks = Callable[[], Iterator[tuple[Logits, Codes]]]


def probabilities(logits: Logits, temperature: float = 1.0) -> Floats:
    """The softmax of logits (n, K) at a temperature, in float64."""
    exponentials = np.exp(_scaled(logits, temperature))
    exponentials /= exponentials.sum(axis=1, keepdims=True)
    return exponentials


def negative_log_likelihood(logits: Logits, truth: Codes, temperature: float = 1.0) -> Floats:
    """−log of the probability of each sample's class (n,), in nats: finite also where the probability underflows."""
    scaled = _scaled(logits, temperature)
    of_truth = scaled[np.arange(len(truth)), truth]
    found: Floats = np.log(np.exp(scaled, out=scaled).sum(axis=1)) - of_truth
    return found


def _scaled(logits: Logits, temperature: float) -> Floats:
    scaled = logits.astype(np.float64)
    scaled -= scaled.max(axis=1, keepdims=True)
    scaled /= temperature
    return scaled
