"""From the artifacts of a run to the content of its report."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from longtail.data.dataset import SUBSETS, PackedDataset, Task
from longtail.data.splits import Split
from longtail.metrics.classification import evaluate
from longtail.network.snapshot import Judge, State, mean_score
from longtail.report.content import EmbeddingMap, KCurve, KSearch, MethodRow, Mistake, Round, TaskReport
from longtail.rules.clusters import Clusters
from longtail.rules.evaluation import project, representatives, sample
from longtail.rules.knn import search

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

TITLES = {
    "lmle": "LMLE",
    "triplet": "Triplet loss",
    "joint": "Cross-entropy and triple-header hinge",
    "softmax": "Softmax",
    "class_rectification": "Class rectification",
}
METHODS = {
    "cluster_wise": "cluster-wise kNN",
    "sample_wise": "sample-wise kNN",
    "class_mean": "nearest class mean",
    "head": "softmax head",
    "head_and_knn": "softmax head and cluster-wise kNN",
    "softmax_head": "softmax head of the start",
}
PARTS = {
    "hinge_1": "between clusters (g1)",
    "hinge_2": "within the class (g2)",
    "hinge_3": "between classes (g3)",
    "cross_entropy": "cross-entropy",
    "rectification": "class rectification",
}


@dataclass(frozen=True)
class Evidence:
    """All that one task is judged by; positions are those of the split's table, `predicted` is aligned with `test`."""

    task: Task
    embeddings: Floats
    labels: Ints
    test: Ints
    clusters: Clusters
    centroids: Floats
    tried: dict[str, Any]
    predicted: dict[str, Ints]
    main: Judge


def task_report(
    evidence: Evidence, table: Split, packed: PackedDataset, *, resamples: int, wrong: int, points: int, seed: int
) -> TaskReport:
    """The task's part of the report: metrics with `resamples` bootstrap resamples, a map of `points` test samples, and
    `wrong` mistakes.
    """
    task, test = evidence.task, evidence.test
    counts = {name: table.info.subsets[name].counts[task.name] for name in SUBSETS}
    rows = [
        MethodRow(
            METHODS[name],
            evaluate(
                evidence.labels[test],
                predicted,
                classes=task.classes,
                train_counts=counts["train"],
                background=task.background,
                groups=table.samples["group"].to_numpy()[test],
                resamples=resamples,
                seed=seed,
            ),
        )
        for name, predicted in evidence.predicted.items()
    ]
    return TaskReport(
        name=task.name,
        classes=task.classes,
        counts=counts,
        imbalance=table.info.subsets["train"].tasks[task.name],
        methods=rows,
        main=METHODS[evidence.main],
        compared=METHODS["softmax_head"] if "softmax_head" in evidence.predicted else METHODS["sample_wise"],
        background=task.background,
        embedding=_map(evidence, points, seed),
        k_search=_k_search(evidence.tried["cluster_wise"]),
        mistakes=_mistakes(evidence, table, packed, wrong, seed),
    )


def _map(evidence: Evidence, count: int, seed: int) -> EmbeddingMap:
    """A map of test samples and of the clusters' centroids, projected together."""
    points = sample(evidence.test, count, seed)
    centres = evidence.centroids
    plane = project(np.concatenate([evidence.embeddings[points], centres]), seed)
    _, nearest = search(centres, evidence.embeddings[points], 1)
    return EmbeddingMap(
        xy=plane[: len(points)],
        classes=evidence.labels[points],
        clusters=nearest[:, 0],
        centroid_xy=plane[len(points) :],
        centroid_classes=evidence.clusters.classes,
        projection=f"t-SNE of {len(points)} test samples and {len(centres)} cluster centroids",
    )


def _k_search(tried: dict[str, Any]) -> KSearch:
    curve = pd.DataFrame(tried["curve"])
    curves = [
        KCurve(str(rule), points["k"].tolist(), points["score"].tolist())
        for rule, points in curve.groupby("decision", sort=False)
    ]
    return KSearch(curves, tried["decision"], tried["k"])


def _mistakes(evidence: Evidence, table: Split, packed: PackedDataset, count: int, seed: int) -> list[Mistake]:
    """A random sample of what the main method gets wrong, each with the sample that stands for its nearest cluster."""
    classes, predicted = evidence.task.classes, evidence.predicted[evidence.main]
    truth = table.scored_labels(evidence.task, "test")[evidence.test]
    wrong = sample(np.flatnonzero((truth >= 0) & (truth != predicted)), count, seed)
    positions = evidence.test[wrong]
    _, nearest = search(evidence.centroids, evidence.embeddings[positions], 1)
    shown = representatives(evidence.embeddings, evidence.clusters, evidence.centroids)[nearest[:, 0]]
    rows = table.samples["row"].to_numpy()
    return [
        Mistake(
            id=str(table.samples["id"].iloc[position]),
            image=image,
            true=classes[truth[place]],
            predicted=classes[predicted[place]],
            cluster_image=cluster_image,
            cluster_class=classes[evidence.clusters.classes[cluster]],
        )
        for place, position, image, cluster_image, cluster in zip(
            wrong, positions, packed.images(rows[positions]), packed.images(rows[shown]), nearest[:, 0], strict=True
        )
    ]


def rounds(state: State) -> list[Round]:
    """The rounds of a model's history."""
    return [_round(past.round, past.curve, past.scores, state) for past in state.history]


def _round(number: int, curve: list[dict[str, float]], scores: dict[str, float], state: State) -> Round:
    parts = {shown: [point[name] for point in curve] for name, shown in PARTS.items() if curve and name in curve[0]}
    return Round(
        number=number,
        iterations=[int(point["iteration"]) for point in curve],
        loss=[point["loss"] for point in curve],
        parts=parts,
        validation=scores,
        selected=number == state.best_round,
    )


def title(made_from: dict[str, Any]) -> str:
    """The method by the parameters of the stage that trained it, of those of all stages."""
    method = made_from["train" if "train" in made_from else "fit"]["method"]
    name = TITLES[method["kind"]]
    if method["kind"] == "class_rectification":
        return f"{name} ({method['mining']} level, {method['comparison']} comparison)"
    return name


def steps_taken(state: State) -> str:
    """How the evaluated model came about."""
    if not state.round:
        return "one training without rounds"
    return f"rounds trained: {state.round}, evaluated is round {state.best_round}"


def notes(state: State) -> list[str]:
    """What a reader of the metrics must know."""
    found = ["Selection (round, k, decision) is on the validation subset; the metrics are on the test subset."]
    before = state.history[0].scores
    if state.best_round and before and mean_score(before) >= state.best_score:
        found.append(
            f"On validation no round beats what training started from: {100 * state.best_score:.1f} % against "
            f"{100 * mean_score(before):.1f} % by the {METHODS[state.judge]}."
        )
    return found


def about_start(params: dict[str, Any]) -> list[str]:
    """How the classifier of round 0 was trained, which stands beside the method; nothing where none was."""
    if params["prior"] != "softmax":
        return []
    how, costs = params["sampling"].replace("_", "-"), "with" if params["cost"] else "without"
    return [f"The {METHODS['softmax_head']} is cross-entropy on {how} mini-batches, {costs} class costs."]
