"""When rounds stop, and which one is the best."""

from pathlib import Path

import pytest

from longtail.data.splits import Split
from longtail.errors import DataError
from longtail.network.snapshot import Round, State, current, mean_score
from longtail.rules.search import Search
from longtail.training.outcome import Scoring, before_rounds, last_scalars, next_state, validation_scores

START = State(rule="cluster_wise", history=[Round(round=0, scores={"digit": 0.5}, curve=[])])


def after(*scores: float, patience: int = 1) -> State:
    state = START
    for score in scores:
        assert not state.stopped
        state = next_state(state, {"digit": score}, [], patience)
    return state


@pytest.mark.parametrize(
    ("scores", "patience", "best", "stopped"),
    [
        ([0.6], 1, 1, False),
        ([0.6, 0.7], 1, 2, False),
        ([0.4], 1, 1, False),  # no round has to beat round 0
        ([0.4, 0.4], 1, 1, True),  # as good is no better
        ([0.6, 0.55], 1, 1, True),
        ([0.4, 0.45], 2, 2, False),
        ([0.4, 0.6, 0.5], 2, 2, False),
        ([0.4, 0.6, 0.5, 0.6], 2, 2, True),
    ],
)
def test_rounds_stop_after_so_many_without_improvement(
    scores: list[float], patience: int, best: int, stopped: bool
) -> None:
    state = after(*scores, patience=patience)
    assert (state.best_round, state.stopped, state.round) == (best, stopped, len(scores))
    assert state.best_score == max(scores)
    assert [past.round for past in state.history] == list(range(len(scores) + 1))


def test_tasks_weigh_equally() -> None:
    assert mean_score({"digit": 0.5, "kids": 1.0}) == 0.75


def test_the_last_scalars_are_those_of_the_last_logged_iterations() -> None:
    assert last_scalars([{"iteration": 4.0, "loss": 2.0}, {"iteration": 8.0, "loss": 1.0}]) == {"final_loss": 1.0}
    assert last_scalars([]) == {}


def by(rule: str) -> Scoring:
    return Scoring(rule, 8, Search(), 0)


def test_what_the_rules_own_training_scored_is_taken_over(prepared: Path) -> None:
    model, table = prepared / "softmax/model", Split.open(prepared / "split")
    state = State.read(model)
    assert before_rounds(by("head"), model, table) == state
    assert state.history[0].scores == validation_scores(by("head"), current(model), table)


@pytest.mark.parametrize("model", ["softmax", "start"])
def test_what_another_rule_scored_or_none_is_scored_anew(prepared: Path, model: str) -> None:
    path, table = prepared / model / "model", Split.open(prepared / "split")
    found = before_rounds(by("cluster_wise"), path, table)
    scores = validation_scores(by("cluster_wise"), current(path), table)
    assert set(scores) == {"digit", "kids"}
    assert found == State(
        rule="cluster_wise", history=[Round(round=0, scores=scores, curve=State.read(path).history[0].curve)]
    )


def test_where_the_rule_cannot_answer_there_is_no_score_and_any_round_is_better(prepared: Path) -> None:
    found = before_rounds(by("head"), prepared / "start/model", Split.open(prepared / "split"))
    assert found.history[0].scores == {}
    assert next_state(found, {"digit": 0.1, "kids": 0.1}, [], 1).best_round == 1


def test_rounds_that_began_without_a_score_are_gone_on_with(prepared: Path, tmp_path: Path) -> None:
    table = Split.open(prepared / "split")
    began = before_rounds(by("head"), prepared / "start/model", table)
    first = next_state(began, {"digit": 0.1, "kids": 0.1}, [], 1)
    first.write(tmp_path)
    assert before_rounds(by("head"), tmp_path, table) == first


def test_rounds_of_another_rule_are_not_gone_on_with(tmp_path: Path, prepared: Path) -> None:
    after(0.6).write(tmp_path)
    with pytest.raises(DataError, match=f"^{tmp_path} was trained in rounds by another kind of method; let these "):
        before_rounds(by("head"), tmp_path, Split.open(prepared / "split"))
