"""Imbalance measures against the paper's tables and a plain re-computation of Eq. 6 and 7."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtail.data.imbalance import imbalance_level, measure

# Silk paper, Table 1.
TABLE_1 = {
    "material": [27252, 4208, 3891],
    "technique": [6861, 3051, 2768, 2526, 355, 185, 99, 67, 65],
    "place": [
        *(7998, 7379, 4708, 4700, 2353, 1399, 1294, 1097, 648, 593, 592, 479, 455, 357, 352),
        *(228, 191, 146, 117, 115, 84, 81, 73, 63, 60, 52, 46, 46, 42),
    ],
    "timespan": [9975, 8423, 4012, 3378, 1829, 685, 43],
}
# Silk paper, Table 2: IR, K, m, BD.
TABLE_2 = {
    "material": (7.00, 3, 2, 0.66),
    "technique": (105.55, 9, 5, 0.91),
    "place": (190.43, 29, 22, 0.78),
    "timespan": (231.98, 7, 5, 0.51),
}


def names(counts: list[int]) -> list[str]:
    return [f"class {i}" for i in range(len(counts))]


def slow_balance_deviation(counts: list[int]) -> Fraction:
    """Eq. 7 with d(e, τ), in exact fractions; τ gives the majority classes 1/(K − m) here, which must not matter."""
    K, total = len(counts), sum(counts)
    zeta = [Fraction(count, total) for count in counts]
    majority = [z >= Fraction(1, K) for z in zeta]
    tau = [Fraction(1, sum(majority)) if big else Fraction(0) for big in majority]
    numerator = sum(abs(z - Fraction(1, K)) for z in zeta) / 2
    denominator = sum(abs(Fraction(1, K) - t) for t in tau) / 2
    return numerator / denominator if denominator else Fraction(0)


@pytest.mark.parametrize("variable", TABLE_1)
def test_the_counts_of_table_1_give_table_2(variable: str) -> None:
    counts = TABLE_1[variable]
    measures = measure(counts, names(counts))
    assert measures.IR is not None
    assert (round(measures.IR, 2), measures.K, measures.m, round(measures.BD, 2)) == TABLE_2[variable]


def test_eq_7_as_printed_does_not_give_table_2() -> None:
    zeta = [count / sum(TABLE_1["material"]) for count in TABLE_1["material"]]
    to_balanced = sum(abs(z - 1 / 3) for z in zeta) / 2
    to_tau = sum(abs(z - t) for z, t in zip(zeta, [1.0, 0.0, 0.0], strict=True)) / 2
    assert round(to_balanced / to_tau, 2) == 1.91


def test_minority_classes_are_named_in_order() -> None:
    assert measure([1, 10, 2], ["c", "a", "b"]).minority == ["c", "b"]


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=50).filter(any))
def test_agrees_with_the_slow_oracle(counts: list[int]) -> None:
    measures = measure(counts, names(counts))
    deviation, ratio = measures.BD, measures.IR
    assert deviation == pytest.approx(float(slow_balance_deviation(counts)), abs=1e-12)
    assert 0 <= deviation <= 1
    assert measures.minority == [
        n for n, c in zip(names(counts), counts, strict=True) if c / sum(counts) < 1 / len(counts)
    ]
    assert measures.m == len(measures.minority) < len(counts)
    assert ratio is None if 0 in counts else ratio == pytest.approx(max(counts) / min(counts))


@given(st.integers(0, 10**6), st.integers(1, 200))
def test_a_balanced_distribution_has_no_minority_and_bd_0(count: int, K: int) -> None:
    measures = measure([count] * K, names([count] * K))
    assert (measures.BD, measures.m) == (0, 0)
    ratio = measures.IR
    assert ratio == (1 if count else None)


def test_an_empty_class_has_no_ratio_but_a_deviation() -> None:
    measures = measure([10, 0], ["a", "b"])
    assert measures.IR is None
    assert measures.BD == 1
    assert math.isfinite(measures.BD)


@pytest.mark.parametrize(("counts", "classes"), [([], []), ([1], ["a", "b"]), ([1, -1], ["a", "b"])])
def test_counts_that_do_not_fit_are_refused(counts: list[int], classes: list[str]) -> None:
    with pytest.raises(ValueError, match="count"):
        measure(counts, classes)


@pytest.mark.parametrize(
    ("counts", "level"), [([98, 2], 48), ([2, 98], 48), ([50, 50], 0), ([1, 2, 3], None), ([0, 0], None)]
)
def test_the_imbalance_level_is_that_of_a_binary_task(counts: list[int], level: float | None) -> None:
    assert imbalance_level(counts) == level
