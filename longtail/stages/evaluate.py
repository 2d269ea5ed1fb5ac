"""Metrics on the test subset, the report, and the model as MLflow serves it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import BaseModel, Field

from longtail import report as reports
from longtail import tracking
from longtail.clusters import Clusters, centroids, load_clusters
from longtail.data.dataset import SUBSETS, PackedDataset, Task
from longtail.data.splits import Split
from longtail.evaluation import class_means, project, representatives, sample, sample_wise
from longtail.knn import load_index, search
from longtail.metrics import evaluate
from longtail.models.snapshot import State, best, current, read_embeddings, read_logits
from longtail.stages.contract import Input, Output, lineage, stage

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

METHODS = {
    "cluster_wise": "cluster-wise kNN",
    "sample_wise": "sample-wise kNN",
    "class_mean": "nearest class mean",
    "softmax_head": "softmax head of round 0",
}
HINGES = {"hinge_1": "between clusters (g1)", "hinge_2": "within the class (g2)", "hinge_3": "between classes (g3)"}


class Params(BaseModel, extra="forbid"):
    """The `evaluate` section of params.yaml, with the shared seed."""

    seed: int = 0
    resamples: int = Field(1000, ge=0, description="bootstrap resamples for the 95 % intervals; 0: none")
    mistakes: int = Field(24, ge=0, description="wrongly classified test images to show")
    map_points: int = Field(1000, ge=50, description="test samples on the map of the embedding")


@dataclass(frozen=True)
class Evidence:
    """All that one task is judged by; positions and rows are those of the split's table."""

    task: Task
    embeddings: Floats
    train: Ints
    labels: Ints
    test: Ints
    clusters: Clusters
    tried: dict[str, Any]
    predicted: dict[str, Ints]


@stage
def run(
    dataset: Input, split: Input, start: Input, model: Input, index: Input, report: Output, *, params: Params
) -> dict[str, float]:
    """Write `report.html`, `metrics.json`, the predictions and the plots' tables; return the main metrics."""
    packed, table = PackedDataset.open(dataset), Split.open(split)
    report.mkdir(parents=True)
    (report / "plots").mkdir()
    pages, scalars = [], {}
    for task in table.tasks:
        evidence = _evidence(task, table, start, model, index)
        page = _judge(evidence, table, packed, params)
        pages.append(page)
        scalars |= _log(page, report)
        _write_predictions(evidence, table, report)
    state = State.read(model)
    _write_tables(pages, state, report)
    _write_report(pages, state, packed, lineage(model), params, report)
    tracking.log_artifact(report / "report.html", parent=True)
    example = packed.images(table.samples["row"].to_numpy()[table.positions("test")[:2]])
    tracking.log_model(best(model), index, tasks=table.tasks, example=example, parent=True)
    return scalars


def _evidence(task: Task, table: Split, start: Path, model: Path, index: Path) -> Evidence:
    embeddings, train = read_embeddings(best(model), task.name), table.train_labels(task)
    tried = json.loads((index / "search.json").read_text())[task.name]
    test, K = table.positions("test"), len(task.classes)
    classifiers = {
        "cluster_wise": load_index(index)[task.name],
        "sample_wise": sample_wise(embeddings, train, K, tried["sample_wise"]["k"]),
        "class_mean": class_means(embeddings, train, K),
    }
    predicted = {name: classifier.predict(embeddings[test])[0] for name, classifier in classifiers.items()}
    logits = read_logits(current(start), task.name)
    if logits is not None:
        predicted["softmax_head"] = np.argmax(logits[test], axis=1)
    clusters = load_clusters(index / "clusters")[task.name]
    return Evidence(task, embeddings, train, table.labels(task), test, clusters, tried, predicted)


def _judge(evidence: Evidence, table: Split, packed: PackedDataset, params: Params) -> reports.TaskReport:
    """The task's part of the report."""
    task, test = evidence.task, evidence.test
    measures = {name: table.info.subsets[name].tasks[task.name] for name in SUBSETS}
    rows = [
        reports.MethodRow(
            METHODS[name],
            evaluate(
                evidence.labels[test],
                predicted,
                classes=task.classes,
                train_counts=measures["train"].counts,
                background=task.background,
                groups=table.samples["group"].to_numpy()[test],
                resamples=params.resamples,
                seed=params.seed,
            ),
        )
        for name, predicted in evidence.predicted.items()
    ]
    return reports.TaskReport(
        name=task.name,
        classes=task.classes,
        counts={name: of_subset.counts for name, of_subset in measures.items()},
        imbalance=measures["train"],
        methods=rows,
        main=METHODS["cluster_wise"],
        compared=METHODS["softmax_head"] if "softmax_head" in evidence.predicted else METHODS["sample_wise"],
        background=task.background,
        embedding=_map(evidence, params),
        k_search=_k_search(evidence.tried["cluster_wise"]),
        mistakes=_mistakes(evidence, table, packed, params),
    )


def _map(evidence: Evidence, params: Params) -> reports.EmbeddingMap:
    """A map of test samples and of the clusters' centroids, projected together."""
    points = sample(evidence.test, params.map_points, params.seed)
    centres = centroids(evidence.embeddings, evidence.clusters)
    plane = project(np.concatenate([evidence.embeddings[points], centres]), params.seed)
    _, nearest = search(centres, evidence.embeddings[points], 1)
    return reports.EmbeddingMap(
        xy=plane[: len(points)],
        classes=evidence.labels[points],
        clusters=nearest[:, 0],
        centroid_xy=plane[len(points) :],
        centroid_classes=evidence.clusters.classes,
        projection=f"t-SNE of {len(points)} test samples and {len(centres)} cluster centroids",
    )


def _k_search(tried: dict[str, Any]) -> reports.KSearch:
    curve = pd.DataFrame(tried["curve"])
    curves = [
        reports.KCurve(str(rule), points["k"].tolist(), points["score"].tolist())
        for rule, points in curve.groupby("decision", sort=False)
    ]
    return reports.KSearch(curves, tried["decision"], tried["k"])


def _mistakes(evidence: Evidence, table: Split, packed: PackedDataset, params: Params) -> list[reports.Mistake]:
    """A random sample of what the main method gets wrong, each with the sample that stands for its nearest cluster."""
    classes, predicted = evidence.task.classes, evidence.predicted["cluster_wise"]
    truth = table.scored_labels(evidence.task, "test")[evidence.test]
    wrong = sample(np.flatnonzero((truth >= 0) & (truth != predicted)), params.mistakes, params.seed)
    positions = evidence.test[wrong]
    _, nearest = search(centroids(evidence.embeddings, evidence.clusters), evidence.embeddings[positions], 1)
    shown = representatives(evidence.embeddings, evidence.clusters)[nearest[:, 0]]
    rows = table.samples["row"].to_numpy()
    return [
        reports.Mistake(
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


def _log(page: reports.TaskReport, report: Path) -> dict[str, float]:
    """Log every metric; return what the step reports: all of the main method, and how the others compare."""
    keys = {shown: key for key, shown in METHODS.items()}
    scalars = {}
    for row in page.methods:
        values = {f"test/{page.name}/{keys[row.name]}/{name}": value for name, value in row.metrics.scalars().items()}
        main = [name for name in values if not name.endswith(("_low", "_high"))] if row.name == page.main else []
        headline = f"test/{page.name}/{keys[row.name]}/mean_class_accuracy"
        kept = {name: values[name] for name in [*main, headline] if name in values}
        tracking.log_metrics(values)
        tracking.log_metrics(kept, parent=True)
        scalars |= {name.removeprefix("test/"): value for name, value in kept.items()}
        of_classes = pd.DataFrame([row_of.model_dump() for row_of in row.metrics.per_class])
        tracking.log_table(of_classes, f"per_class/{page.name}/{keys[row.name]}.csv", parent=row.name == page.main)
    return scalars


def _write_predictions(evidence: Evidence, table: Split, report: Path) -> None:
    classes = np.array(evidence.task.classes, dtype=object)
    truth = evidence.labels[evidence.test]
    answers = pd.DataFrame({"id": table.samples["id"].to_numpy()[evidence.test]})
    answers["true"] = np.where(truth >= 0, classes[truth], None)
    for name, predicted in evidence.predicted.items():
        answers[name] = classes[predicted]
    answers.to_parquet(report / f"predictions-{evidence.task.name}.parquet", index=False)


def _write_tables(pages: list[reports.TaskReport], state: State, report: Path) -> None:
    """`metrics.json`, and the tables that `dvc plots show` draws."""
    everything = {page.name: {row.name: row.metrics.model_dump() for row in page.methods} for page in pages}
    (report / "metrics.json").write_text(json.dumps(everything, indent=1) + "\n")
    plots = report / "plots"
    curves = [pd.DataFrame(past.curve).assign(round=past.round) for past in state.history if past.curve]
    pd.concat(curves or [pd.DataFrame()]).to_csv(plots / "loss.csv", index=False)
    scores = [{"round": past.round, "task": t, "score": s} for past in state.history for t, s in past.scores.items()]
    pd.DataFrame(scores).to_csv(plots / "validation.csv", index=False)
    tried = [
        {"task": page.name, "decision": curve.rule, "k": k, "score": score}
        for page in pages
        if page.k_search
        for curve in page.k_search.curves
        for k, score in zip(curve.k, curve.accuracy, strict=True)
    ]
    pd.DataFrame(tried).to_csv(plots / "k.csv", index=False)
    answers = pd.read_parquet(report / f"predictions-{pages[0].name}.parquet").dropna()
    answers.rename(columns={"true": "actual", "cluster_wise": "predicted"})[["actual", "predicted"]].to_csv(
        plots / "confusion.csv", index=False
    )


def _write_report(
    pages: list[reports.TaskReport],
    state: State,
    packed: PackedDataset,
    made_from: dict[str, Any],
    params: Params,
    report: Path,
) -> None:
    page = reports.Report(
        title="LMLE with cluster-wise kNN",
        method=f"LMLE, {state.round} rounds, the best is round {state.best_round}",
        dataset=f"{packed.info.provenance} (md5 {packed.info.md5}; licence: {packed.info.licence})",
        images=len(packed),
        seed=params.seed,
        tasks=pages,
        rounds=[_round(past.round, past.curve, past.scores, state) for past in state.history],
        parameters=made_from["stages"],
        notes=_notes(state),
    )
    (report / "report.html").write_text(reports.render(page), encoding="utf-8")


def _round(number: int, curve: list[dict[str, float]], scores: dict[str, float], state: State) -> reports.Round:
    hinges = {shown: [point[name] for point in curve] for name, shown in HINGES.items() if curve and name in curve[0]}
    return reports.Round(
        number=number,
        iterations=[int(point["iteration"]) for point in curve],
        loss=[point["loss"] for point in curve],
        hinges=hinges,
        validation=scores,
        selected=number == state.best_round,
    )


def _notes(state: State) -> list[str]:
    notes = ["Selection (round, k, decision) is on the validation subset; the metrics are on the test subset."]
    if state.best_round == 0:
        notes.append("No round of LMLE improved validation: the embedding evaluated here is that of round 0.")
    return notes
