"""ODS, OIS and AP against plain loops, written as the official code has them."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.problems.edges.evaluation.counts import Counts, thresholds
from longtail.problems.edges.evaluation.scores import average_precision, best, f_measure, optimal_image_scale


@st.composite
def counts(draw: st.DrawFn) -> Counts:
    """Of up to 4 images at up to 6 thresholds, zeros and equal values among them."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape, most = draw(st.tuples(st.integers(1, 4), st.integers(1, 6))), draw(st.sampled_from([1, 3, 1000]))
    annotated, predicted = random.integers(0, most + 1, (2, *shape))
    annotated[:] = annotated[:, :1]
    return Counts(random.integers(0, annotated + 1), annotated, random.integers(0, predicted + 1), predicted)


def f_of(recall: float, precision: float) -> float:
    return 2 * recall * precision / (recall + precision + (recall + precision == 0))


def slow_best(t: list[float], r: list[float], p: list[float]) -> list[float]:
    found = [t[0], r[0], p[0], f_of(r[0], p[0])]
    for i in range(1, len(t)):
        for d in np.linspace(0, 1, 100):
            at = [values[i] * d + values[i - 1] * (1 - d) for values in (t, r, p)]
            if f_of(*at[1:]) > found[3]:
                found = [*at, f_of(*at[1:])]
    return found


def slow_ois(counts: Counts) -> float:
    chosen = np.zeros(4)
    for image in range(len(counts.recalled)):
        f = f_measure(counts.recall[image], counts.precision[image])
        last = np.flatnonzero(f == f.max())[-1]
        chosen += [values[image, last] for values in counts.fields()]
    return f_of(chosen[0] / max(1, chosen[1]), chosen[2] / max(1, chosen[3]))


def slow_ap(recall: list[float], precision: list[float]) -> float:
    curve = sorted(dict(zip(recall, precision, strict=True)).items())  # of equal recalls the last
    area = 0.0
    for step in range(101):
        wanted = step / 100
        for (r0, p0), (r1, p1) in pairwise(curve):
            if r0 <= wanted <= r1:
                area += 0.01 * (p0 + (p1 - p0) * (wanted - r0) / (r1 - r0))
                break
    return area


@settings(max_examples=150, deadline=None)
@given(counts())
def test_figures_are_those_of_the_loops(counts: Counts) -> None:
    total, at = counts.total(), thresholds(counts.recalled.shape[1])
    recall, precision = total.recall.tolist(), total.precision.tolist()
    ods = best(at, total.recall, total.precision)
    assert [ods.threshold, ods.recall, ods.precision, ods.f] == pytest.approx(slow_best(at.tolist(), recall, precision))
    assert optimal_image_scale(counts).f == pytest.approx(slow_ois(counts))
    assert average_precision(total.recall, total.precision) == pytest.approx(slow_ap(recall, precision))


def test_figures_of_a_known_curve() -> None:
    recall, precision = np.array([1.0, 0.5, 0.0]), np.array([0.5, 1.0, 0.0])
    ods = best(np.array([0.25, 0.5, 0.75]), recall, precision)
    # In the middle between the first two: recall and precision are 0.75 (of 100 points none is right there).
    assert (ods.f, ods.threshold) == pytest.approx((0.75, 0.375), abs=0.002)
    assert average_precision(recall, precision) == pytest.approx(0.5 * 0.5 + 0.5 * 0.75, abs=0.01)


def test_a_curve_of_one_recall_has_no_area() -> None:
    assert average_precision(np.array([0.7, 0.7]), np.array([0.9, 0.8])) == 0
    assert average_precision(np.array([0.7]), np.array([0.9])) == 0


def test_where_nothing_was_counted_everything_is_0() -> None:
    nothing = Counts(*np.zeros((4, 2, 3), np.int64))
    assert optimal_image_scale(nothing).f == 0
    assert best(thresholds(3), nothing.total().recall, nothing.total().precision).f == 0
