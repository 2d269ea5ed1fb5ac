"""What becomes of a training: its validation scores, the state of the model, and when rounds stop."""

import sys
from dataclasses import dataclass
from pathlib import Path

from longtail import tracking
from longtail.data.splits import Split
from longtail.errors import DataError
from longtail.network.snapshot import (
    Round,
    State,
    collapse_warning,
    current,
    mean_score,
    read_embeddings,
)
from longtail.rules.base import rule_class
from longtail.rules.evidence import read_evidence
from longtail.rules.search import Search


@dataclass(frozen=True)
class Scoring:
    """How a model is scored on validation: the key of the rule, and what that may try."""

    rule: str
    cluster_size: int | None
    search: Search
    seed: int


def validation_scores(scoring: Scoring, snapshot: Path, split: Split) -> dict[str, float]:
    """Per task the mean per-class accuracy on validation by the rule; empty where it cannot answer."""
    rule, scores = rule_class(scoring.rule), {}
    for task in split.tasks:
        evidence = read_evidence(
            snapshot, split, task, cluster_size=scoring.cluster_size, search=scoring.search, seed=scoring.seed
        )
        if evidence.logits is not None or not rule.needs_logits:
            scores[task.name] = rule.fit(evidence, {}).score
    return scores


def before_rounds(scoring: Scoring, model: Path, split: Split) -> State:
    """The state of the model that a round follows, its rounds scored by that rule.

    Round 0 has the rule of what made it: it is scored anew. Raises DataError if earlier rounds were scored by another:
    those of another method cannot be gone on with.
    """
    state = State.read(model)
    # Round 0 has none where what the rounds follow cannot answer by the rule.
    if state.rule == scoring.rule and (state.round or state.history[0].scores):
        return state
    if state.round:
        raise DataError(
            f"{model} was trained in rounds by another kind of method; let these rounds follow a training of `fits`"
        )
    scores = validation_scores(scoring, current(model), split)
    return State(rule=scoring.rule, history=[Round(round=0, scores=scores, curve=state.history[0].curve)])


def next_state(state: State, scores: dict[str, float], curve: list[dict[str, float]], patience: int) -> State:
    """The state after a round; `patience` rounds in a row that are no better than the best stop the training."""
    number = state.round + 1
    # Round 0 is what the rounds start from: the report shows it beside them, and no round has to beat it.
    better = state.best_round == 0 or mean_score(scores) > state.best_score
    best_round = number if better else state.best_round
    return State(
        rule=state.rule,
        round=number,
        best_round=best_round,
        stopped=number - best_round >= patience,
        history=[*state.history, Round(round=number, scores=scores, curve=curve)],
    )


def warn_of_collapse(snapshot: Path, split: Split) -> None:
    """Say on stderr which tasks' embeddings have collapsed."""
    for task in split.tasks:
        warning = collapse_warning(task.name, read_embeddings(snapshot, task.name), split.labels(task))
        if warning:
            print(f"warning: {warning}", file=sys.stderr)


def log_score(name: str, state: State) -> None:
    """Log the last validation score, on the pipeline's run too: over the rounds it makes a curve there."""
    score = mean_score(state.history[-1].scores)
    tracking.log_metrics({f"validation/{name}/mean_class_accuracy": score}, step=state.round, parent=True)


def last_scalars(curve: list[dict[str, float]]) -> dict[str, float]:
    """The last logged scalars of a training, as results of its stage."""
    return {f"final_{name}": value for name, value in curve[-1].items() if name != "iteration"} if curve else {}
