"""The tables of overall accuracy and F1, against scikit-learn and scipy."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score
from test_results import TRAIN, make_results

from experiments.results import other_scores
from experiments.tables import markdown, over_seeds


@given(st.integers(0, 10**6), st.booleans())
def test_scores_are_those_of_scikit_learn(seed: int, background: bool) -> None:
    """A background class is in no truth, may be said, and is no class among those that the minority is of."""
    rng = np.random.default_rng(seed)
    K = int(rng.integers(2, 6))
    truth = np.concatenate([np.arange(K), rng.integers(0, K, 30)])
    said, train = rng.integers(0, K + background, len(truth)), rng.integers(1, 100, K)
    others = [int(rng.integers(1, 300))] if background else []
    minority = np.flatnonzero(train / train.sum() < 1 / K)
    expected = {
        "accuracy": accuracy_score(truth, said),
        "average_f1": f1_score(truth, said, average="macro", labels=range(K), zero_division=0),
    }
    if len(minority):
        expected["minority_f1"] = f1_score(truth, said, average="macro", labels=minority, zero_division=0)
    foreground = np.arange(K + background) < K
    assert other_scores(truth, said, [*train.tolist(), *others], foreground) == pytest.approx(expected)


def test_differences_over_seeds_are_those_of_the_paired_t_test() -> None:
    first, second = pd.Series([61.0, 63.0, 62.5]), pd.Series([60.0, 60.5, 61.0])
    found = stats.ttest_rel(first, second)
    low, high = found.confidence_interval(0.95)
    mark = "*" if found.pvalue < 0.05 else ""
    assert over_seeds(first - second) == f"{(first - second).mean():+.2f}{mark} [{low:+.2f}, {high:+.2f}]"
    assert over_seeds(pd.Series([1.0, 1.1, 1.05])).startswith("+1.05*")
    assert over_seeds(pd.Series([1.0])) == "+1.00"
    assert over_seeds(pd.Series([], dtype=float)) == "–"


def test_an_experiment_that_asks_for_scores_has_a_table_of_each(tmp_path: Path) -> None:
    results = make_results(tmp_path, TRAIN, [0, 1])
    assert "F1 on test" not in markdown("few", results)
    asked = replace(results, matrix=results.matrix.model_copy(update={"scores": ["accuracy", "average_f1"]}))
    text = markdown("few", asked)
    assert text.count("Overall accuracy on test") == text.count("F1 on test, the mean over the classes") == 1
    assert "| better, softmax head | 70.25 ± 0.35 | 70.25 ± 0.35 | 70.25 ± 0.35 | 70.25 ± 0.35 | +10.00" in text
