"""From counts to the benchmark's figures: ODS, OIS and AP."""

from dataclasses import dataclass

import numpy as np

from longtail.problems.edges.evaluation.counts import Counts, Real

STEPS = 100  # between two thresholds
RECALLS = np.arange(101) / 100


@dataclass(frozen=True)
class Point:
    """A place on a curve. `threshold` is None where each image has its own, or none."""

    recall: float
    precision: float
    f: float
    threshold: float | None = None

    @classmethod
    def of(cls, counts: Counts) -> "Point":
        """That of counts without thresholds."""
        recall, precision = counts.recall, counts.precision
        return cls(float(recall), float(precision), float(f_measure(recall, precision)))


def f_measure(recall: Real, precision: Real) -> Real:
    """The harmonic mean; 0 where both are 0."""
    both = recall + precision
    return 2 * recall * precision / np.where(both == 0, 1, both)


def best(thresholds: Real, recall: Real, precision: Real) -> Point:
    """The point of largest F, recall and precision interpolated in 100 steps between thresholds; the first of equals.

    Over the whole data set this is ODS, the optimal data set scale.
    """
    part = np.linspace(0, 1, STEPS)

    def between(values: Real) -> Real:
        return np.append(values[0], (values[1:, None] * part + values[:-1, None] * (1 - part)).ravel())

    t, r, p = between(thresholds), between(recall), between(precision)
    f = f_measure(r, p)
    at = int(f.argmax())
    return Point(float(r[at]), float(p[at]), float(f[at]), float(t[at]))


def optimal_image_scale(counts: Counts) -> Point:
    """OIS of images × thresholds: the sum of each image's counts at its best threshold, the last of equals."""
    f = f_measure(counts.recall, counts.precision)
    at = f.shape[1] - 1 - f[:, ::-1].argmax(axis=1)
    chosen = Counts(*(np.take_along_axis(values, at[:, None], axis=1)[:, 0] for values in counts.fields()))
    return Point.of(chosen.total())


def average_precision(recall: Real, precision: Real) -> float:
    """The area under the curve: the precision at recalls 0 to 1 in steps of 0.01, interpolated, times 0.01.

    Beyond the smallest and the largest recall of the curve the precision counts as 0. Of equal recalls the highest
    threshold's precision counts. A curve of one recall has no area.
    """
    recalls, last = np.unique(recall[::-1], return_index=True)
    if len(recalls) < 2:
        return 0.0
    return float(np.interp(RECALLS, recalls, precision[::-1][last], left=0, right=0).sum() / 100)
