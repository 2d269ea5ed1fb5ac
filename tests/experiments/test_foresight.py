"""Advice beside what happened, from answers written by hand."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from experiments.foresight import Outcome, of_classes
from experiments.results import Results
from longtail.advice.advice import Advice
from longtail.advice.measured import Gain, tables
from longtail.metrics.significance import Answers

BASELINE, OTHER = ("cross-entropy", "head_adjusted"), ("cRT", "head")


def of_one_row(answers: Answers) -> Results:
    """Results of one row beside the baseline, of one seed."""
    found = SimpleNamespace(
        matrix=SimpleNamespace(last_setting="all"),
        baseline=BASELINE,
        tasks=["label"],
        class_sizes=lambda task, setting: {"cat": 10.0, "dog": 100.0},
        contenders=lambda: [BASELINE, OTHER],
        values=lambda *_: pd.Series([0.5], index=[0]),
        answers=lambda *_: answers,
    )
    return cast(Results, found)


def says(cat: float | None, dog: float | None) -> Advice:
    """Advice that tells such differences in the classes."""
    classes = [SimpleNamespace(name="cat", smallest=cat), SimpleNamespace(name="dog", smallest=dog)]
    return cast(Advice, SimpleNamespace(told=[SimpleNamespace(name="label", classes=classes)]))


# The row alone is right on 8 of 20 cats (p = 0.008); on 3 of 100 dogs, on 1 of which the baseline is (p = 0.6).
TRUTH = np.repeat([0, 1], (20, 100))
FIRST = np.array([0] * 20 + [1] * 99 + [0])
SECOND = np.array([1] * 8 + [0] * 12 + [0] * 3 + [1] * 97)


@pytest.mark.parametrize(
    ("cat", "dog", "told", "untold"),
    [
        (0.35, 0.1, "1 of 1", "1 of 1"),
        (0.35, 0.01, "1 of 2", "0 of 0"),
        (0.5, 0.1, "0 of 0", "1 of 2"),
        (None, None, "0 of 0", "1 of 2"),
    ],
)
def test_each_class_counts_by_whether_its_difference_is_as_large_as_said(
    cat: float | None, dog: float | None, told: str, untold: str
) -> None:
    assert stats.binomtest(8, 8).pvalue < 0.05 < stats.binomtest(3, 4).pvalue
    row = of_classes(tables()[0], says(cat, dog), of_one_row(Answers(TRUTH, FIRST, SECOND)))
    assert row == f"| {tables()[0].name} | 2 | {told} | {untold} |\n"


@pytest.mark.parametrize(("least", "larger", "smaller"), [(0.05, (1, 2), (1, 1)), (None, (0, 0), (2, 3))])
def test_gains_and_losses_count_by_their_size(
    least: float | None, larger: tuple[int, int], smaller: tuple[int, int]
) -> None:
    def gain(mean: float, *, significant: bool) -> Gain:
        return Gain(mean=mean, low=mean - 1, high=mean + 1, significant=significant)

    gains: Any = {
        "class-even sampling, head": gain(9, significant=True),
        "cRT, head": gain(-6, significant=False),
        "balanced softmax, head": gain(2, significant=False),
    }
    found = Outcome.of(tables()[0], gains, least)
    assert (found.larger, found.smaller, found.best) == (larger, smaller, "class-even sampling, +9.0")
