"""Wilson's interval, and how many images it takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from longtail.audit.measurable import interval, margin, needed


@given(st.integers(1, 500), st.data())
def test_the_interval_is_scipys(images: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, images))
    expected = binomtest(right, images).proportion_ci(method="wilson")
    low, high = interval(right, images)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert (high - low) / 2 <= margin(images) + 1e-12


@given(st.floats(0.001, 0.5))
def test_so_many_images_are_needed_and_no_fewer(asked: float) -> None:
    count = needed(asked)
    assert margin(count) <= asked + 1e-9
    assert count == 1 or margin(count - 1) > asked


def test_known_values() -> None:
    assert margin(0) == 0.5
    assert [needed(m) for m in (0.2, 0.1, 0.05)] == [21, 93, 381]
