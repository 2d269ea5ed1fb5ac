"""When rounds stop, and which one is the best."""

import pytest

from longtail.network.snapshot import Round, State
from longtail.training.outcome import last_scalars, mean_score, next_state

START = State(round=0, best_round=0, best_score=0.5, stopped=False, history=[Round(round=0, scores={}, curve=[])])


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
