"""The shares of the table, against their words, row by row."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtail.quintuplets.shares import class_gap, table_shares
from longtail.quintuplets.table import QuintupletTable

# On a line: 0 is the anchor of all rows.
LINE = np.array([[0.0], [1.0], [2.0], [3.0], [4.0]], np.float32)


@pytest.mark.parametrize(
    ("row", "other", "expected"),
    [
        ([0, 1, 2, 3, 4], True, {"whole", "ordered", "with_p_plus"}),
        ([0, 2, 1, 3, 4], True, {"whole", "with_p_plus"}),
        ([0, 1, 2, 4, 3], True, {"whole", "with_p_plus"}),
        ([0, 0, 2, 3, 4], True, set()),
        ([0, 1, 3, 3, 4], True, {"with_p_plus"}),
        ([0, 3, 1, 3, 4], True, {"with_p_plus"}),
        ([0, 1, 3, 3, 4], False, {"with_p_plus", "degenerate"}),
        ([0, 0, 0, 0, 4], False, {"degenerate"}),
    ],
)
def test_one_row(row: list[int], other: bool, expected: set[str]) -> None:
    shares = table_shares(QuintupletTable(np.array([row]), np.array([other]), np.zeros(1, np.int64)), LINE)
    assert {name for name, share in shares.items() if share} == expected
    assert set(shares.values()) <= {0.0, 1.0}


@given(st.lists(st.sampled_from([[0, 1, 2, 3, 4], [0, 2, 1, 3, 4], [0, 0, 2, 3, 4]]), min_size=1, max_size=30))
def test_many_rows_have_the_mean_of_their_rows(rows: list[list[int]]) -> None:
    of_all = table_shares(QuintupletTable(np.array(rows), np.ones(len(rows), bool), np.arange(len(rows))), LINE)
    assert of_all["whole"] == pytest.approx(sum(row[1] != 0 for row in rows) / len(rows))
    assert of_all["ordered"] == pytest.approx(sum(row == [0, 1, 2, 3, 4] for row in rows) / len(rows))


@given(st.lists(st.permutations([1, 2, 3, 4]), min_size=1, max_size=30), st.floats(0, 2))
def test_a_negative_gap_is_a_third_hinge_above_that_of_one_point(rows: list[list[int]], margin: float) -> None:
    table = QuintupletTable(np.array([[0, *row] for row in rows]), np.ones(len(rows), bool), np.arange(len(rows)))
    # The square of a distance on LINE is that of the position.
    differences = np.array([row[3] ** 2 - row[2] ** 2 for row in rows])
    gap = class_gap(table, LINE)
    assert gap == pytest.approx(differences.mean())
    if gap < 0:
        assert np.maximum(0, margin - differences).mean() > margin
