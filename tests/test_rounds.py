"""When rounds stop, which one is the best, and what a checkpoint's fingerprint covers."""

from pathlib import Path

import pytest
from pydantic import BaseModel

from longtail.models.snapshot import Round, State
from longtail.rounds import fingerprint, last_scalars, mean_score, next_state

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


class Params(BaseModel):
    margin: float = 0.1


def test_a_fingerprint_changes_with_parameters_and_inputs(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{}")
    before = fingerprint(Params(), tmp_path)
    assert fingerprint(Params(), tmp_path) == before
    assert fingerprint(Params(margin=0.2), tmp_path) != before
    assert fingerprint(Params(), tmp_path, processes=1) == before
    assert fingerprint(Params(), tmp_path, processes=2) != before
    (tmp_path / "state.json").write_text("{ }")
    assert fingerprint(Params(), tmp_path) != before


def test_a_fingerprint_is_of_names_and_contents_wherever_they_lie(tmp_path: Path) -> None:
    for place in ("here", "there/deeper", "renamed", "swapped"):
        (tmp_path / place / "current").mkdir(parents=True)
    for place in ("here", "there/deeper"):
        (tmp_path / place / "current" / "network.json").write_text("{}")
        (tmp_path / place / "state.json").write_text("[]")
    (tmp_path / "renamed" / "current" / "network.jsn").write_text("{}")
    (tmp_path / "renamed" / "state.json").write_text("[]")
    before = fingerprint(Params(), tmp_path / "here")
    assert fingerprint(Params(), tmp_path / "there" / "deeper") == before
    assert fingerprint(Params(), tmp_path / "renamed") != before
    empty = tmp_path / "swapped"
    assert fingerprint(Params(), tmp_path / "here", empty) != fingerprint(Params(), empty, tmp_path / "here")


def test_a_fingerprint_does_not_read_what_follows_from_the_rest(tmp_path: Path) -> None:
    before = fingerprint(Params(), tmp_path)
    for name in ("images-00000.npy", "embeddings-digit.npy", "logits-digit.npy"):
        (tmp_path / name).write_text("large")
    assert fingerprint(Params(), tmp_path) == before
