"""The samples of each class, in one pass."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from longtail.data.members import members


@given(st.lists(st.integers(-1, 6), max_size=40))
def test_they_are_those_that_a_search_for_each_class_finds(codes: list[int]) -> None:
    labels = np.array(codes, np.int64)
    expected = {int(code): np.flatnonzero(labels == code).tolist() for code in np.unique(labels[labels >= 0])}
    found = {code: positions.tolist() for code, positions in members(labels).items()}
    assert list(found.items()) == list(expected.items())
