"""What one image adds to precision and recall at each threshold: pixels, counted."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
from skimage.morphology import thin

from longtail.problems.edges.edge_maps import Map
from longtail.problems.edges.evaluation.correspondence import Pixels, correspondence

Whole = npt.NDArray[np.int64]
Real = npt.NDArray[np.float64]

# How far apart pixels of the same edge may be, as a share of the image's diagonal.
MAX_DISTANCE = 0.0075


@dataclass(frozen=True)
class Counts:
    """Numbers of pixels, each of any shape; the last axis are thresholds.

    `recalled` of `annotated`: pixels of all annotators, one after the other, that correspond to a predicted one.
    `confirmed` of `predicted`: predicted pixels that correspond to one of any annotator.
    """

    recalled: Whole
    annotated: Whole
    confirmed: Whole
    predicted: Whole

    @classmethod
    def stacked(cls, parts: Sequence["Counts"]) -> "Counts":
        """Several counts along a new first axis."""
        return cls(*(np.stack(values) for values in zip(*(part.fields() for part in parts), strict=True)))

    def fields(self) -> tuple[Whole, Whole, Whole, Whole]:
        """The four, in their order."""
        return self.recalled, self.annotated, self.confirmed, self.predicted

    def total(self) -> "Counts":
        """The sum over the first axis: images."""
        return Counts(*(values.sum(axis=0) for values in self.fields()))

    @property
    def recall(self) -> Real:
        """0 where nothing is annotated."""
        return self.recalled / np.maximum(1, self.annotated)

    @property
    def precision(self) -> Real:
        """0 where nothing is predicted."""
        return self.confirmed / np.maximum(1, self.predicted)


def thresholds(number: int) -> Real:
    """So many thresholds, evenly spaced in (0, 1): 99 are 0.01 to 0.99."""
    return np.linspace(1 / (number + 1), 1 - 1 / (number + 1), number)


def count(edge_map: Map, boundaries: Pixels, at: Real) -> Counts:
    """The counts of a map H×W against annotators A×H×W at each threshold; what is at a threshold or above is thinned.

    Maps of rising thresholds lie in each other, so those with as many pixels are the same and are matched once.
    """
    found: dict[int, Counts] = {}
    sizes = [int((edge_map >= threshold).sum()) for threshold in at]
    for size, threshold in zip(sizes, at, strict=True):
        if size not in found:
            found[size] = count_edges(_thin(edge_map >= threshold), boundaries)
    return Counts(*(np.stack(values) for values in zip(*(found[size].fields() for size in sizes), strict=True)))


def count_annotators(boundaries: Pixels) -> Counts:
    """The counts of the annotators of an image, A×H×W: each against all others, summed. One alone counts nothing."""
    radius = _radius(boundaries[0])
    recalled, confirmed = 0, np.zeros_like(boundaries)
    for one, other in combinations(range(len(boundaries)), 2):
        of_one, of_other = correspondence(boundaries[one], boundaries[other], radius)
        confirmed[one] |= of_one
        confirmed[other] |= of_other
        recalled += int(of_one.sum()) + int(of_other.sum())
    others, drawn = len(boundaries) - 1, int(boundaries.sum())
    return _numbers(recalled, others * drawn, confirmed.sum(), drawn if others else 0)


def count_edges(edges: Pixels, boundaries: Pixels) -> Counts:
    """The counts of thin edges H×W against annotators A×H×W, each a number."""
    radius = _radius(edges)
    recalled, confirmed = 0, np.zeros_like(edges)
    for annotated in boundaries:
        of_edges, of_annotator = correspondence(edges, annotated, radius)
        confirmed |= of_edges
        recalled += int(of_annotator.sum())
    return _numbers(recalled, boundaries.sum(), confirmed.sum(), edges.sum())


def _numbers(*values: int | np.integer) -> Counts:
    return Counts(*(np.asarray(value, np.int64) for value in values))


def _radius(pixels: Pixels) -> float:
    return MAX_DISTANCE * float(np.hypot(*pixels.shape))


def _thin(edges: Pixels) -> Pixels:
    """Guo and Hall's thinning until nothing changes, as MATLAB's `bwmorph(edges, 'thin', inf)`."""
    return np.asarray(thin(edges))  # type: ignore[no-untyped-call]
