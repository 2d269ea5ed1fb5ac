"""What the thesis shows of the measures: Figure 6.4, two classes that move apart; Figure 6.5, classes refined."""

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from longtail.granularity.distance import Floats, Ints, euclidean
from longtail.granularity.granularity import granularity_of

MEASURES = ("rs", "rsm", "rank", "rankm")


def measures(points: Floats, labels: Ints, **options: Any) -> list[float]:
    found = granularity_of(euclidean(points), labels, [str(i) for i in range(100)], **options)
    assert found is not None
    return [getattr(found, name) for name in MEASURES if getattr(found, name) is not None]


def test_classes_that_move_apart_become_coarser_by_every_measure() -> None:
    """Means m apart on the horizontal axis, unit covariance: of one class RankM is 1/2, of two far apart 0."""
    rng, apart = np.random.default_rng(0), [0.0, 0.5, 1, 2, 3, 4, 6]
    labels = np.repeat([0, 1], 250)
    runs = []
    for _ in range(5):
        noise = rng.normal(size=(500, 2))
        runs.append([measures(noise + labels[:, None] * [m, 0.0], labels) for m in apart])
    means, deviations = np.mean(runs, axis=0), np.std(runs, axis=0)
    falls = np.diff(means, axis=0) < 0
    assert falls[:, [0, 2, 3]].all()
    assert falls[2:, 1].all()  # RSM: not before the classes are one deviation apart, where it is largest
    assert deviations.max() < 0.12
    assert means[0, 3] == pytest.approx(0.5, abs=0.1)
    assert means[-1, 3] < 0.01


@pytest.mark.parametrize("measure", range(4))
@pytest.mark.parametrize("data", ["hierarchy", "digits"])
def test_classes_that_are_refined_become_finer(data: str, measure: int) -> None:
    """Coarse classes are relabelled one after the other; the mean over some orders grows with every step."""
    rng = np.random.default_rng(1)
    if data == "hierarchy":
        fine = np.repeat(np.arange(20), 25)
        points = 3 * rng.normal(size=(5, 10))[fine // 4] + rng.normal(size=(20, 10))[fine] + rng.normal(size=(500, 10))
        coarse = fine // 4
    else:
        # As in the thesis the features are trained on the coarse labels, of other images. To pixels, to which the two
        # halves of such a class are far apart, refining makes classes coarser.
        pixels, digits = load_digits(return_X_y=True)
        merged = np.array([0, 1, 2, 2, 3, 4, 0, 1, 3, 4])[digits]
        trained = LinearDiscriminantAnalysis().fit(pixels[600:], merged[600:])
        points, fine, coarse = trained.transform(pixels[:600]), digits[:600], merged[:600]
    runs = []
    for _ in range(4):
        order = rng.permutation(5)
        labels = [np.where(np.isin(coarse, order[:step]), 10 + fine, coarse) for step in range(6)]
        runs.append([measures(points, codes)[measure] for codes in labels])
    assert (np.diff(np.mean(runs, axis=0)) > 0).all()
