"""Metrics on the test subset, the report, and the model as MLflow serves it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field

from longtail import tracking
from longtail.artifacts.reading import read_json
from longtail.data.dataset import PackedDataset, Task
from longtail.data.splits import Split
from longtail.network.snapshot import State, best, collapse, current, mean_score, read_embeddings, read_logits
from longtail.report import Report, TaskReport, render
from longtail.report.assembly import (
    METHODS,
    PARTS,
    Evidence,
    about_start,
    notes,
    rounds,
    steps_taken,
    task_report,
    title,
)
from longtail.rules.clusters import load_clusters
from longtail.rules.evaluation import predictions
from longtail.rules.knn import load_index
from longtail.stages.contract import Input, Output, lineage, stage


class Params(BaseModel, extra="forbid"):
    """The `evaluate` section of params.yaml, with the shared seed."""

    seed: int = Field(0, ge=0)
    resamples: int = Field(1000, ge=0, description="bootstrap resamples for the 95 % intervals; 0: none")
    mistakes: int = Field(24, ge=0, description="wrongly classified test images to show")
    map_points: int = Field(1000, ge=50, description="test samples on the map of the embedding")


@stage
def run(
    dataset: Input, split: Input, start: Input, model: Input, index: Input, report: Output, *, params: Params
) -> dict[str, float]:
    """Write `report.html`, `metrics.json`, the predictions and the plots' tables; return the main metrics."""
    packed, table = PackedDataset.open(dataset), Split.open(split)
    report.mkdir(parents=True)
    (report / "plots").mkdir()
    pages: list[TaskReport] = []
    scalars: dict[str, float] = {}
    collapsed: list[str] = []
    for task in table.tasks:
        evidence = _evidence(task, table, start, model, index)
        page = task_report(
            evidence,
            table,
            packed,
            resamples=params.resamples,
            wrong=params.mistakes,
            points=params.map_points,
            seed=params.seed,
        )
        pages.append(page)
        scalars |= _log(page, report)
        _write_predictions(evidence, table, report)
        lost = collapse(task.name, evidence.embeddings, evidence.labels)
        collapsed += [lost] if lost else []
    state = State.read(model)
    _write_tables(pages, state, report)
    made_from = lineage(model)["stages"] | lineage(index)["stages"] | {"evaluate": params.model_dump(mode="json")}
    compared = lineage(start)["stages"]["start"]
    remarks = [*notes(state), *collapsed, *about_start(compared)]
    content = _report(pages, state, packed, made_from, params.seed, remarks)
    (report / "report.html").write_text(render(content), encoding="utf-8")
    tracking.log_artifact(report / "report.html", parent=True)
    example = packed.images(table.samples["row"].to_numpy()[table.positions("test")[:2]])
    tracking.log_model(best(model), index, tasks=table.tasks, example=example, parent=True)
    return scalars


def _evidence(task: Task, table: Split, start: Path, model: Path, index: Path) -> Evidence:
    embeddings, train, test = read_embeddings(best(model), task.name), table.train_labels(task), table.positions("test")
    tried = read_json(index / "search.json")[task.name]
    predicted = predictions(task.name, len(task.classes), best(model), index, train, test)
    logits = read_logits(current(start), task.name)
    if logits is not None:
        predicted["softmax_head"] = np.argmax(logits[test], axis=1)
    clusters, centres = load_clusters(index / "clusters")[task.name], load_index(index)[task.name].points
    main = State.read(model).judge
    return Evidence(task, embeddings, table.labels(task), test, clusters, centres, tried, predicted, main)


def _log(page: TaskReport, report: Path) -> dict[str, float]:
    """Log every metric; return what the step reports: all of the main method, and how the others compare."""
    keys = {shown: key for key, shown in METHODS.items()}
    scalars: dict[str, float] = {}
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
    answers["true"] = pd.Series(classes[truth]).where(truth >= 0, None)
    for name, predicted in evidence.predicted.items():
        answers[name] = classes[predicted]
    answers.to_parquet(report / f"predictions-{evidence.task.name}.parquet", index=False)


def _write_tables(pages: list[TaskReport], state: State, report: Path) -> None:
    """`metrics.json`, and the tables that `dvc plots show` draws: means over the tasks, where there are several."""
    everything = {page.name: {row.name: row.metrics.model_dump() for row in page.methods} for page in pages}
    (report / "metrics.json").write_text(json.dumps(everything, indent=1) + "\n")
    plots = report / "plots"
    # Round 0 is what rounds start from, or, without any, all that was trained.
    trained = state.history[1:] or state.history
    curves = [pd.DataFrame(past.curve).assign(round=past.round) for past in trained if past.curve]
    # dvc.yaml names every part of every method's loss.
    loss = pd.concat([pd.DataFrame(columns=["iteration", "loss", *PARTS, "round"]), *curves])
    lengths = [0.0, *(curve["iteration"].iloc[-1] for curve in curves)]
    loss["iteration"] += np.repeat(np.cumsum(lengths)[:-1], [len(curve) for curve in curves])
    loss.to_csv(plots / "loss.csv", index=False)
    scores = [
        {"round": past.round, "mean_class_accuracy": mean_score(past.scores)} for past in state.history if past.scores
    ]
    pd.DataFrame(scores).to_csv(plots / "validation.csv", index=False)
    tried = pd.DataFrame(
        [
            {"decision": curve.rule, "k": k, "score": score}
            for page in pages
            if page.k_search
            for curve in page.k_search.curves
            for k, score in zip(curve.k, curve.accuracy, strict=True)
        ]
    )
    tried.pivot_table(index="k", columns="decision", values="score").to_csv(plots / "k.csv")
    pd.concat([_answers(page.name, state.judge, report, prefix=len(pages) > 1) for page in pages]).to_csv(
        plots / "confusion.csv", index=False
    )


def _answers(task: str, main: str, report: Path, *, prefix: bool) -> pd.DataFrame:
    """What the main classifier says of each labelled test sample; of several tasks, with their names."""
    answers = pd.read_parquet(report / f"predictions-{task}.parquet").dropna()
    pairs = answers.rename(columns={"true": "actual", main: "predicted"})[["actual", "predicted"]]
    return task + ": " + pairs if prefix else pairs


def _report(
    pages: list[TaskReport],
    state: State,
    packed: PackedDataset,
    made_from: dict[str, Any],
    seed: int,
    remarks: list[str],
) -> Report:
    return Report(
        title=f"{title(made_from)}, classified by the {METHODS[state.judge]}",
        method=f"{title(made_from)}: {steps_taken(state)}",
        dataset=f"{packed.info.provenance} (md5 {packed.info.md5}; licence: {packed.info.licence})",
        images=len(packed),
        seed=seed,
        tasks=pages,
        rounds=rounds(state),
        parameters=made_from,
        notes=remarks,
    )
