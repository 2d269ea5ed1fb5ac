"""How rounds follow each other: the network a round begins with, its validation score, and when to stop."""

import sys
from pathlib import Path

from longtail import tracking
from longtail.artifacts.weights import read_weights
from longtail.data.splits import Split
from longtail.errors import DataError
from longtail.network.embedder import build_network
from longtail.network.network import Network
from longtail.network.snapshot import (
    Blueprint,
    Judge,
    Round,
    State,
    collapse,
    current,
    mean_score,
    read_embeddings,
    read_logits,
)
from longtail.rules.search import Search, cluster_wise, head_accuracy


def initial_network(snapshot: Path, blueprint: Blueprint) -> Network:
    """The network of the previous round; what that one does not have, or has in another shape, is fresh."""
    network = build_network(blueprint)
    file = snapshot / "network.safetensors"
    fresh = network.state_dict()
    before = read_weights(file) if file.is_file() else {}
    network.load_state_dict(fresh | {n: w for n, w in before.items() if n in fresh and w.shape == fresh[n].shape})
    return network


def judged_by(judge: Judge, state: State, model: Path, split: Split) -> State:
    """The state of the model directory with its rounds judged by that classifier.

    Round 0 is judged by the cluster-wise kNN; where a method trains the classifier it is compared by its own head.
    Raises DataError if later rounds were judged by another: those of another method cannot be gone on with.
    """
    if state.judge == judge:
        return state
    if state.round:
        raise DataError(f"{model} was trained by another kind of method; begin again with round 0, or keep the method")
    before = state.history[0].model_copy(update={"scores": head_scores(current(model), split)})
    return state.model_copy(update={"judge": judge, "history": [before]})


def next_state(state: State, scores: dict[str, float], curve: list[dict[str, float]], patience: int) -> State:
    """The state after a round; `patience` rounds in a row that are no better than the best stop the training."""
    number, score = state.round + 1, mean_score(scores)
    # Round 0 is what LMLE starts from, not LMLE: the report shows it beside, and no round has to beat it.
    better = state.best_round == 0 or score > state.best_score
    best_round = number if better else state.best_round
    return State(
        judge=state.judge,
        round=number,
        best_round=best_round,
        best_score=score if better else state.best_score,
        stopped=number - best_round >= patience,
        history=[*state.history, Round(round=number, scores=scores, curve=curve)],
    )


def validation_scores(snapshot: Path, split: Split, cluster_size: int, how: Search, seed: int) -> dict[str, float]:
    """Per task the mean per-class accuracy of the cluster-wise kNN on validation, at its best k and decision."""
    scores = {}
    for task in split.tasks:
        choice, _ = cluster_wise(
            read_embeddings(snapshot, task.name),
            split.train_labels(task),
            split.scored_labels(task, "validation"),
            len(task.classes),
            cluster_size=cluster_size,
            how=how,
            seed=seed,
        )
        scores[task.name] = choice.score
    return scores


def warn_of_collapse(snapshot: Path, split: Split) -> None:
    """Say on stderr which tasks' embeddings have collapsed."""
    for task in split.tasks:
        lost = collapse(task.name, read_embeddings(snapshot, task.name), split.labels(task))
        if lost:
            print(f"warning: {lost}", file=sys.stderr)


def head_scores(snapshot: Path, split: Split) -> dict[str, float]:
    """Per task the mean per-class accuracy of the classifier itself on validation; empty where none was trained."""
    scores = {}
    for task in split.tasks:
        truth, logits = split.scored_labels(task, "validation"), read_logits(snapshot, task.name)
        if logits is not None:
            scores[task.name] = head_accuracy(logits, truth)
    return scores


def log_score(state: State) -> None:
    """Log the last round's validation score, on the pipeline's run too: there it makes a curve over the rounds."""
    score = mean_score(state.history[-1].scores)
    tracking.log_metrics({"validation/mean_class_accuracy": score}, step=state.round, parent=True)


def last_scalars(curve: list[dict[str, float]]) -> dict[str, float]:
    """The last logged scalars of a training, as results of its stage."""
    return {f"final_{name}": value for name, value in curve[-1].items() if name != "iteration"} if curve else {}
