"""Matched pixels against an assignment on the whole matrix of distances."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from longtail.problems.edges.evaluation.correspondence import OUTLIER, UNIT, correspondence

Pixels = npt.NDArray[np.bool_]


@st.composite
def maps(draw: st.DrawFn) -> tuple[Pixels, Pixels]:
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.tuples(st.integers(1, 14), st.integers(1, 14)))
    first, second = (random.random(shape) < draw(st.sampled_from([0.0, 0.05, 0.3, 0.8, 1.0])) for _ in range(2))
    return first, second


def oracle(first: Pixels, second: Pixels, radius: float) -> tuple[int, float]:
    """How many pairs, and their cost, by an assignment that may leave anything alone at the outliers' price."""
    rows, columns = np.argwhere(first), np.argwhere(second)
    if not len(rows) or not len(columns):
        return 0, 0.0
    distances = cdist(rows, columns)
    alone = UNIT * OUTLIER * radius
    costs = np.where(distances <= radius, np.rint(UNIT * distances), 4 * alone)
    whole = np.hstack([costs, np.full((len(rows), len(rows)), alone)])
    row, column = linear_sum_assignment(whole)
    paired = column < len(columns)
    return int(paired.sum()), float(whole[row, column][paired].sum())


@settings(max_examples=150, deadline=None)
@given(maps(), st.sampled_from([0.5, 1, 1.5, 2, 2.3, 3, 4.337]))
def test_as_many_pairs_as_near_as_the_oracle(pair: tuple[Pixels, Pixels], radius: float) -> None:
    matched = correspondence(*pair, radius)
    pairs, cost = oracle(*pair, radius)
    assert [int(pixels.sum()) for pixels in matched] == [pairs, pairs]
    assert all(not (pixels & ~of).any() for pixels, of in zip(matched, pair, strict=True))
    # The chosen pixels can be paired at the least cost there is.
    assert oracle(*matched, radius) == (pairs, cost)


@pytest.mark.parametrize(("apart", "together"), [((0, 0), 1), ((3, 4), 1), ((0, 5), 1), ((4, 4), 0), ((0, 6), 0)])
def test_a_pixel_at_the_radius_is_within_it(apart: tuple[int, int], together: int) -> None:
    first, second = np.zeros((2, 20, 20), np.bool_)
    first[5, 5] = second[5 + apart[0], 5 + apart[1]] = True
    assert [int(pixels.sum()) for pixels in correspondence(first, second, 5.0)] == [together, together]


def test_one_pixel_takes_one_partner_the_nearest() -> None:
    first, second = np.zeros((2, 9, 9), np.bool_)
    first[4, 4] = True
    second[4, [1, 5, 8]] = True
    _, matched = correspondence(first, second, 4.0)
    assert np.argwhere(matched).tolist() == [[4, 5]]


def test_more_pairs_come_before_nearer_ones() -> None:
    first, second = np.zeros((2, 1, 9), np.bool_)
    first[0, [2, 3]] = second[0, [3, 6]] = True  # 3 on 3 would leave 2 alone
    assert int(correspondence(first, second, 3.0)[0].sum()) == 2


@pytest.mark.parametrize("radius", [1.0, 4.3])
def test_of_a_long_line_moved_along_the_last_pair_costs_more_than_it_brings(radius: float) -> None:
    """All pairs a pixel apart, or all but one on the same place."""
    longest = round(OUTLIER * radius)
    for length, pairs in ((longest, longest), (longest + 2, longest + 1)):
        first, second = np.zeros((2, 1, length + 1), np.bool_)
        first[0, :-1] = second[0, 1:] = True
        assert [int(of.sum()) for of in correspondence(first, second, radius)] == [pairs, pairs]


def test_a_large_map_against_itself_moved() -> None:
    first = np.random.default_rng(0).random((321, 481)) < 0.05
    moved = np.roll(first, 3, axis=1)
    moved[:, :3] = False
    assert int(correspondence(first, moved, 4.3)[1].sum()) == int(moved.sum())
