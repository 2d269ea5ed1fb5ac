"""Cohen's κ against scikit-learn's, and where it is undefined."""

import math
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from longtail.labelling.agreement import CHOICES, Agreement, agreement, measured
from longtail.labelling.journal import Choice
from longtail.labelling.queue import Queue
from longtail.labelling.session import Session


@given(st.lists(st.tuples(st.sampled_from(CHOICES), st.sampled_from(CHOICES)), min_size=1, max_size=40))
def test_kappa_is_that_of_scikit_learn(said: list[tuple[Choice, Choice]]) -> None:
    found = measured(said)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = cohen_kappa_score(*zip(*said, strict=True))
    assert found.items == len(said)
    assert found.agreed == pytest.approx(sum(one == other for one, other in said) / len(said))
    if found.kappa is None:
        assert math.isnan(expected)
        assert len({one for pair in said for one in pair}) == 1
    else:
        assert found.kappa == pytest.approx(expected, abs=1e-12)


def test_without_two_people_there_is_no_agreement(queue: Queue) -> None:
    assert agreement(queue.path) == (Agreement(0, None, None), {})


def test_each_pair_of_people_and_all_together(queue: Queue) -> None:
    session, names = Session(queue), list(queue.items)
    said: dict[str, list[Choice]] = {
        "Cleo": ["yes", "no", "no"],
        "Ada": ["yes", "no", "yes"],
        "Ben": ["yes"],
    }
    for who, choices in said.items():
        for item, choice in zip(names, choices, strict=False):
            session.decide(who, item, choice)
    session.close()
    together, pairs = agreement(queue.path)
    assert list(pairs) == [("Ada", "Ben"), ("Ada", "Cleo"), ("Ben", "Cleo")]
    assert pairs["Ada", "Ben"] == Agreement(1, 1.0, None)
    assert pairs["Ada", "Cleo"].kappa == pytest.approx(cohen_kappa_score(said["Ada"], said["Cleo"]))
    assert together.items == 5
    assert together.agreed == pytest.approx(4 / 5)
