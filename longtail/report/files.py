"""The files beside the page: every metric as JSON, each class as CSV, and the tables that DVC shows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from longtail.artifacts.reading import write_json
from longtail.methods.catalogue import PARTS
from longtail.metrics.conformal import PredictionSets
from longtail.network.snapshot import State, mean_score
from longtail.report.content import MEAN, Report, Row, Standing, TaskReport
from longtail.report.limits import MANY_CLASSES, MANY_TASKS, WORST, in_full
from longtail.sources.quoting import spreadsheet_cell

# What `dvc metrics show` compares models by, beside their mean per-class accuracy.
COMPARED = ("accuracy", "average_f1", "minority_f1", "geometric_mean", "worst_recall")


def write_tables(report: Report, state: State, folder: Path) -> None:
    """Write `metrics.json`, `per_class.csv`, `models/` and `plots/`; `state` is the leading model's.

    `dvc metrics show` compares what `models/` holds, and `dvc plots show` draws the tables in `plots/`: its page takes
    its scripts from the network, and `report.html`, which shows the same, takes nothing.
    """
    write_json(folder / "metrics.json", {page.name: _metrics(page) for page in report.tasks})
    per_class = [_classes(page, row) for page in report.tasks for row in page.own_rows]
    table = pd.concat(per_class)
    table["class"] = table["class"].map(spreadsheet_cell)
    table.to_csv(folder / "per_class.csv", index=False)
    _write_models(report, folder / "models")
    _write_plots(report.tasks, state, folder)


def _metrics(page: TaskReport) -> dict[str, Any]:
    """By model and rule all metrics of a task, and each model's difference to the baseline, which is by the rule
    `reference` where that is not the baseline's own.
    """
    found: dict[str, Any] = {}
    for row in page.rows:
        of_model = found.setdefault(row.model, {"rule": None, "difference": None, "rules": {}})
        of_model["rules"][row.rule] = _measured(row)
        if row.own:
            of_model["rule"] = row.rule
            of_model["difference"] = row.difference.as_json() if row.difference else None
    if page.reference is not None:
        found[page.baseline]["reference"] = page.reference
    return {model: of_model | _operating(page, model) for model, of_model in found.items()}


def _operating(page: TaskReport, model: str) -> dict[str, Any]:
    """A model's calibration and accuracy under other priors by rule, and its prediction sets by kind."""
    if page.operating is None:
        return {}
    sets = page.operating.sets.get(model, {})
    return {
        "calibration": {
            one.rule: {
                "temperature": one.temperature,
                "before": one.before.model_dump() if one.before else None,
                "after": one.after.model_dump() if one.after else None,
            }
            for one in page.operating.calibration
            if one.model == model
        },
        "under_priors": {one.key: dict(one.accuracy) for one in page.operating.under_priors if one.model == model},
        "prediction_sets": {kind: _sets(of_kind) for kind, of_kind in sets.items()},
    }


def _sets(sets: PredictionSets) -> dict[str, Any]:
    """The sets of a kind; of many classes those of lowest coverage alone."""
    if len(sets.per_class) <= MANY_CLASSES:
        return sets.model_dump()
    worst = [of_class.model_dump() for of_class in sets.worst_classes(WORST)]
    return {**sets.model_dump(exclude={"per_class"}), "worst_classes": worst}


def _measured(row: Row) -> dict[str, Any]:
    """The metrics of a row, its confusion matrix as K × K; of many classes the worst and the most confused alone."""
    K = len(row.metrics.classes)
    if K <= MANY_CLASSES:
        confusion = np.zeros((K, K), dtype=np.int64)
        for true, predicted, count in row.metrics.confusion:
            confusion[true, predicted] = count
        return row.metrics.model_dump() | {"confusion": confusion.tolist()}
    return {
        **row.metrics.model_dump(exclude={"classes", "per_class", "confusion"}),
        "worst_classes": [of_class.model_dump() for of_class in row.metrics.worst_classes(WORST)],
        "most_confused": [pair.model_dump() for pair in row.metrics.most_confused(WORST)],
    }


def _classes(page: TaskReport, row: Row) -> pd.DataFrame:
    """The classes of a task, and what a model reaches in each."""
    table = pd.DataFrame([of_class.model_dump() for of_class in row.metrics.per_class])
    first = {"task": page.name, "model": row.model, "rule": row.rule}
    return table.rename(columns={"name": "class"}).assign(**first)[[*first, "class", *table.columns[1:]]]


def _write_models(report: Report, folder: Path) -> None:
    """A file a model with the few numbers by which models are compared: a row each of `dvc metrics show`."""
    folder.mkdir()
    for one in report.standings:
        baseline = report.tasks[0].baseline
        compared: dict[str, Any] = {MEAN: _standing(one, baseline)} if report.means else {}
        for page in report.tasks if len(report.tasks) <= MANY_TASKS else ():
            row = next(row for row in page.own_rows if row.model == one.model)
            scalars = row.metrics.scalars()
            own = {name: scalars.get(name) for name in COMPARED}
            compared[page.name] = _standing(page.standing(row), baseline) | own
        write_json(folder / f"{one.model}.json", compared)


def _standing(one: Standing, baseline: str) -> dict[str, float | None]:
    low, high = one.interval or (None, None)
    # The baseline's difference to what others are compared with: a dash would look like something that failed.
    compared = one.accuracy if one.reference is None else one.reference
    itself = None if one.model != baseline or one.accuracy is None or compared is None else one.accuracy - compared
    difference = one.difference.mean if one.difference else itself
    return {"mean_class_accuracy": one.accuracy, "low": low, "high": high, "difference": difference}


def _write_plots(pages: Sequence[TaskReport], state: State, folder: Path) -> None:
    plots = folder / "plots"
    plots.mkdir()
    # Round 0 is what rounds start from, or, without any, all that was trained.
    trained = state.history[1:] or state.history
    curves = [pd.DataFrame(past.curve).assign(round=past.round) for past in trained if past.curve]
    loss = pd.concat([pd.DataFrame(columns=["iteration", "loss", *PARTS, "validation_loss", "round"]), *curves])
    lengths = [0.0, *(curve["iteration"].iloc[-1] for curve in curves)]
    loss["iteration"] += np.repeat(np.cumsum(lengths)[:-1], [len(curve) for curve in curves])
    loss.to_csv(plots / "loss.csv", index=False)
    scores = [
        {"round": past.round, "mean_class_accuracy": mean_score(past.scores)} for past in state.history if past.scores
    ]
    pd.DataFrame(scores, columns=["round", "mean_class_accuracy"]).to_csv(plots / "validation.csv", index=False)
    tried = pd.DataFrame(
        [
            {"decision": curve.rule, "k": k, "score": score}
            for page in pages
            if page.k_search
            for curve in page.k_search.curves
            for k, score in zip(curve.k, curve.accuracy, strict=True)
        ],
        columns=["decision", "k", "score"],
    )
    tried.pivot_table(index="k", columns="decision", values="score").to_csv(plots / "k.csv")
    # A matrix of more classes, or of more tasks, nobody draws from its samples.
    drawn = [pages[place] for place in in_full(pages) if len(pages[place].classes) <= MANY_CLASSES]
    confusion = [_answers(page, folder, prefix=len(pages) > 1) for page in drawn]
    pd.concat([pd.DataFrame(columns=["actual", "predicted"]), *confusion]).to_csv(plots / "confusion.csv", index=False)


def _answers(page: TaskReport, folder: Path, *, prefix: bool) -> pd.DataFrame:
    """What the leading model says of each labelled test sample; of several tasks, with their names."""
    answers = pd.read_parquet(folder / f"predictions-{page.name}.parquet").dropna()
    pairs = answers.rename(columns={"true": "actual", page.main.key: "predicted"})[["actual", "predicted"]]
    pairs = pairs[pairs["actual"] != page.background].map(spreadsheet_cell)
    return page.name + ": " + pairs if prefix else pairs
