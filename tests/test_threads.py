"""The budget of threads follows OMP_NUM_THREADS."""

import os

import pytest

from longtail.threads import budget


@pytest.mark.parametrize(("value", "threads"), [("3", 3), ("1", 1), ("4,2", 4), (" 2 ", 2)])
def test_the_environment_sets_the_budget(monkeypatch: pytest.MonkeyPatch, value: str, threads: int) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert budget() == threads


@pytest.mark.parametrize("value", ["", "0", "-1", "many"])
def test_an_unusable_value_means_the_cores_of_this_process(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert budget() == len(os.sched_getaffinity(0))


def test_without_the_variable_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert budget() == len(os.sched_getaffinity(0))
