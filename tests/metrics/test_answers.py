"""Answers that outlive their run: what is the same test, and the paired test of two such tables."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from longtail.metrics.answers import SAID, TRUE, answered, answers_of, compared, same_test
from longtail.metrics.significance import Answers, joined, paired_difference

CLASSES = {"kind": ["c", "a", "b", "never"], "label": ["no", "yes"]}


def codes(rng: np.random.Generator, samples: int) -> dict[str, np.ndarray]:
    """Labels of the two tasks, some missing; nobody is of the last class of the first."""
    return {"kind": rng.integers(-1, 3, samples), "label": rng.integers(-1, 2, samples)}


def table(truth: dict[str, np.ndarray], said: dict[str, np.ndarray]) -> pd.DataFrame:
    numbers = np.arange(len(truth["kind"]))
    samples = pd.DataFrame({"id": numbers, "group": numbers // 2})
    columns = {}
    for task, classes in CLASSES.items():
        columns |= answered(task, classes, truth[task], said[task])
    return answers_of("0f343b09", samples, columns)


def kept(answers: pd.DataFrame, file: Path) -> pd.DataFrame:
    answers.to_parquet(file, index=False)
    return pd.read_parquet(file)


@pytest.mark.parametrize("seed", range(5))
def test_two_tables_are_compared_as_their_answers_are(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = codes(rng, 60)
    one, other = ({task: np.abs(rng.permutation(of)) for task, of in truth.items()} for _ in range(2))
    tables = [kept(table(truth, said), tmp_path / "answers.parquet") for said in (one, other)]
    assert same_test(*tables)
    groups = (np.arange(60) // 2).astype(str)
    whole, weights = joined([Answers(truth[task], one[task], other[task], groups) for task in CLASSES], [4, 2])
    expected, found = paired_difference([whole], weights=weights), compared(*tables)
    assert found.mean == pytest.approx(expected.mean)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.02)


def test_a_task_without_labels_is_in_no_comparison() -> None:
    truth = codes(np.random.default_rng(0), 20)
    unknown = truth | {"label": np.full(20, -1)}
    said = {task: np.maximum(of, 0) for task, of in truth.items()}
    wrong = {task: (of + 1) % 2 for task, of in said.items()}
    assert compared(table(unknown, said), table(unknown, wrong)).mean == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one.iloc[:-1],
        lambda one: one.iloc[::-1].reset_index(drop=True),
        lambda one: one.assign(data="another"),
        lambda one: one.assign(id=one["id"] + "x"),
        lambda one: one.assign(group=one["id"]),
        lambda one: one.assign(**{"kind" + TRUE: one["kind" + SAID]}),
        lambda one: one.assign(**{"label" + TRUE: None}),
        lambda one: one.drop(columns=["label" + TRUE, "label" + SAID]),
        lambda one: one.rename(columns={"label" + TRUE: "x" + TRUE, "label" + SAID: "x" + SAID}),
    ],
)
def test_other_samples_labels_groups_or_tasks_are_another_test(
    change: Callable[[pd.DataFrame], pd.DataFrame],
) -> None:
    rng = np.random.default_rng(0)
    truth, said = codes(rng, 20), {"kind": np.zeros(20, int), "label": np.zeros(20, int)}
    one = table(truth, said)
    assert same_test(one, table(truth, {"kind": np.ones(20, int), "label": np.ones(20, int)}))
    assert not same_test(one, change(one))
