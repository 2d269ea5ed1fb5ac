"""Simulated people: right but for a rate, the same again when asked again, and they know what they must."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtail.bootstrapping.people import answer, read_truth
from longtail.errors import DataError


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.2, 1.0])
def test_they_err_at_the_rate(rate: float) -> None:
    said = [answer(str(item), "anna", right=True, error_rate=rate, seed=0) for item in range(5000)]
    assert 1 - sum(said) / len(said) == pytest.approx(rate, abs=0.02)


@given(st.text(max_size=10), st.booleans(), st.floats(0, 1), st.integers(0, 10))
def test_an_error_is_of_the_image_and_not_of_the_question(item: str, right: bool, rate: float, seed: int) -> None:
    once, other = (answer(item, "anna", right=one, error_rate=rate, seed=seed) for one in (right, not right))
    assert once != other
    assert answer(item, "anna", right=right, error_rate=rate, seed=seed) == once


@given(st.floats(0, 1), st.floats(0, 1))
def test_who_errs_at_a_low_rate_errs_at_a_higher_one(one: float, other: float) -> None:
    low, high = sorted([one, other])
    for item in range(20):
        if not answer(str(item), "anna", right=True, error_rate=low, seed=1):
            assert not answer(str(item), "anna", right=True, error_rate=high, seed=1)


def test_people_err_each_for_themselves() -> None:
    wrong = {
        who: [not answer(str(item), who, right=True, error_rate=0.5, seed=0) for item in range(400)] for who in "ab"
    }
    together = sum(a and b for a, b in zip(*wrong.values(), strict=True)) / 400
    assert together == pytest.approx(0.25, abs=0.08)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("file,class\na.png,one\n", "says nothing of 1 images"),
        ("name,class\na.png,one\n", "needs the columns `file` and `class`"),
        ("", "needs the columns `file` and `class`"),
        (None, "needs the columns `file` and `class`"),
        ("x" * 100_000, "needs the columns `file` and `class`"),
    ],
)
def test_a_truth_that_is_none_is_refused(tmp_path: Path, content: str | None, sentence: str) -> None:
    if content is not None:
        (tmp_path / "truth.csv").write_text(content)
    with pytest.raises(DataError, match=sentence) as refusal:
        read_truth(tmp_path / "truth.csv", {"1": tmp_path / "a.png", "2": tmp_path / "b.png"})
    assert len(str(refusal.value)) < 1000


def test_an_empty_class_is_none(tmp_path: Path) -> None:
    (tmp_path / "truth.csv").write_text("file,class\na.png,one\nb.png,\n")
    files = {"1": tmp_path / "a.png", "2": tmp_path / "b.png"}
    assert read_truth(tmp_path / "truth.csv", files) == {"1": "one", "2": None}
