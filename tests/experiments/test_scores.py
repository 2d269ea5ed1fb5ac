"""The tables of overall accuracy and F1, against scikit-learn and scipy."""

import json
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


def test_a_task_that_has_no_minority_leaves_the_mean_to_the_others(tmp_path: Path) -> None:
    results = make_results(tmp_path, TRAIN, [0, 1])
    first, *others = results.tasks
    row = (results.matrix.last_setting, "better", "head")
    rows = results.rows[(results.rows.metric != "minority_f1") | (results.rows.task != first)]
    without = replace(results, rows=rows)
    of_others = [without.values(task, *row, score="minority_f1") for task in others]
    assert len(of_others[0])
    pd.testing.assert_series_equal(
        without.values(None, *row, score="minority_f1"), sum(of_others) / len(others), check_names=False
    )
    neither = replace(results, rows=results.rows[results.rows.metric != "minority_f1"])
    assert not len(neither.values(None, *row, score="minority_f1"))


@pytest.mark.parametrize(("losses", "ended"), [([3, 2, 1], True), ([3, 1, 2], True), ([1, 2, 3], False)])
def test_a_training_that_the_budget_ended_is_named(tmp_path: Path, losses: list[float], ended: bool) -> None:
    """By its patience of two measurements it ends once two have not been below the least."""
    results = make_results(tmp_path, TRAIN, [0, 1])
    found = {}
    for key, result in results.found.items():
        cell = json.loads(json.dumps(result["cell"]))
        if key[1] == "better":
            cell["sections"]["fits"][cell["model"]]["optimisation"]["early_stopping"] = 2
        curve = [{"iteration": 20.0 * number, "validation_loss": loss} for number, loss in enumerate(losses)]
        found[key] = result | {"cell": cell, "history": [{"round": 0, "scores": {}, "curve": curve}]}
    measured = replace(results, found=found)
    assert measured.ended_by_budget() == ([("better", 4)] if ended else [])
    said = "**Not early stopping, but the budget ended trainings of** better (4 of 4)."
    assert (said in markdown("few", measured)) == ended
    assert "budget ended" not in markdown("few", results)
