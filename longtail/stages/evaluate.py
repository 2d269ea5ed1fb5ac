"""Metrics on the test subset, the models side by side, the report, and the first model as MLflow serves it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field, model_validator

from longtail import tracking
from longtail.artifacts.lineage import Lineage, merged
from longtail.artifacts.reading import read_json, write_json
from longtail.data.dataset import PackedDataset, Task
from longtail.data.seed import Seed
from longtail.data.splits import Split
from longtail.methods.catalogue import PARTS
from longtail.network.snapshot import State, collapse_warning, mean_score, read_embeddings, read_logits
from longtail.problems.classification import HEADLINE, Extent, Judged, task_report
from longtail.report import Report, TaskReport, render
from longtail.report.history import method_title, model_report, notes
from longtail.report.titles import rule_title
from longtail.rules.base import rule_class
from longtail.stages.contract import Input, Inputs, Output, stage

CHOSEN = "Rounds, k, decisions and weights are chosen on the validation subset; the metrics are on the test subset."


class Params(BaseModel, extra="forbid"):
    """The `evaluate` section of params.yaml, with the shared seed."""

    seed: Seed = 0
    models: list[str] = Field(min_length=1, description="names of trainings; the first leads")
    baseline: str | None = Field(None, description="the model that the others are compared with; default: the first")
    resamples: int = Field(1000, ge=0, description="bootstrap resamples for the 95 % intervals; 0: none")
    mistakes: int = Field(24, ge=0, description="wrongly classified test images to show")
    map_points: int = Field(1000, ge=50, description="test samples on the map of the embedding")

    @model_validator(mode="after")
    def _baseline_is_a_model(self) -> "Params":
        if self.baseline is not None and self.baseline not in self.models:
            raise ValueError(f"the baseline {self.baseline!r} is none of the models {self.models}")
        return self


@dataclass(frozen=True)
class Indexed:
    """A model as `index` has left it."""

    name: str
    path: Path
    state: State
    lineage: Lineage

    @classmethod
    def open(cls, name: str, path: Path) -> "Indexed":
        return cls(name, path, State.read(path), Lineage.read(path))

    def on(self, task: Task) -> Judged:
        """The model on one task."""
        keys = read_json(self.path / "rules.json")[task.name]
        rules = {key: rule_class(key).load(self.path / "rules", task.name) for key in keys}
        embeddings = read_embeddings(self.path / "snapshot", task.name)
        logits = read_logits(self.path / "snapshot", task.name)
        return Judged(self.name, self.state.rule, rules, embeddings, logits, len(task.classes))


@stage
def run(dataset: Input, split: Input, indexes: Inputs, report: Output, *, params: Params) -> dict[str, float]:
    """Write `report.html`, `metrics.json`, the predictions and the plots' tables; return the main metrics.

    `indexes` has an index for each of the models, by its name.
    """
    packed, table = PackedDataset.open(dataset), Split.open(split)
    models = [Indexed.open(name, indexes / name) for name in params.models]
    (report / "plots").mkdir(parents=True)
    extent = Extent(params.resamples, params.mistakes, params.map_points, params.seed)
    pages: list[TaskReport] = []
    scalars: dict[str, float] = {}
    warnings: list[str] = []
    for task in table.tasks:
        judged = [model.on(task) for model in models]
        page, answers = task_report(task, judged, params.baseline or params.models[0], table, packed, extent)
        pages.append(page)
        scalars |= _log(page)
        answers.to_parquet(report / f"predictions-{task.name}.parquet", index=False)
        warnings += filter(None, (_warning(model, task, table) for model in judged))
    _write_tables(pages, models[0].state, report)
    content = _report(pages, models, packed, params, warnings)
    (report / "report.html").write_text(render(content), encoding="utf-8")
    tracking.log_artifact(report / "report.html", parent=True)
    example = packed.images(table.samples["row"].to_numpy()[table.positions("test")[:2]])
    tracking.log_model(models[0].path, tasks=table.tasks, example=example, parent=True)
    return scalars


def _warning(model: Judged, task: Task, table: Split) -> str | None:
    warning = collapse_warning(task.name, model.embeddings, table.labels(task))
    return f"{model.name}: {warning}" if warning else None


def _log(page: TaskReport) -> dict[str, float]:
    """Log every metric; return what the step reports: all of the leading row, and how the others compare."""
    scalars: dict[str, float] = {}
    for row in page.rows:
        values = {f"test/{page.name}/{row.model}/{row.rule}/{name}": v for name, v in row.metrics.scalars().items()}
        tracking.log_metrics(values)
        of_classes = pd.DataFrame([of_class.model_dump() for of_class in row.metrics.per_class])
        tracking.log_table(of_classes, f"per_class/{page.name}/{row.model}/{row.rule}.csv", parent=row == page.main)
        headline = getattr(row.metrics, HEADLINE)
        if headline is not None:
            scalars[f"{page.name}/{row.model}/{row.rule}/{HEADLINE}"] = headline
        if row.difference is not None:
            scalars[f"{page.name}/{row.model}/difference"] = row.difference.mean
    # Under names without the model's, by which pipelines are compared whatever their trainings are called.
    main = page.main.metrics.scalars()
    scalars |= {f"{page.name}/{name}": v for name, v in main.items() if not name.endswith(("_low", "_high"))}
    tracking.log_metrics({f"test/{name}": value for name, value in scalars.items()}, parent=True)
    return scalars


def _write_tables(pages: list[TaskReport], state: State, report: Path) -> None:
    """`metrics.json`, and the tables that `dvc plots show` draws of the leading model."""
    write_json(report / "metrics.json", {page.name: _metrics(page) for page in pages})
    plots = report / "plots"
    # Round 0 is what rounds start from, or, without any, all that was trained.
    trained = state.history[1:] or state.history
    curves = [pd.DataFrame(past.curve).assign(round=past.round) for past in trained if past.curve]
    loss = pd.concat([pd.DataFrame(columns=["iteration", "loss", *PARTS, "round"]), *curves])
    lengths = [0.0, *(curve["iteration"].iloc[-1] for curve in curves)]
    loss["iteration"] += np.repeat(np.cumsum(lengths)[:-1], [len(curve) for curve in curves])
    loss.to_csv(plots / "loss.csv", index=False)
    scores = [{"round": past.round, HEADLINE: mean_score(past.scores)} for past in state.history if past.scores]
    pd.DataFrame(scores, columns=["round", HEADLINE]).to_csv(plots / "validation.csv", index=False)
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
    confusion = [_answers(page, report, prefix=len(pages) > 1) for page in pages]
    pd.concat(confusion).to_csv(plots / "confusion.csv", index=False)


def _metrics(page: TaskReport) -> dict[str, Any]:
    """By model and rule all metrics of a task, and each model's difference to the baseline."""
    found: dict[str, Any] = {}
    for row in page.rows:
        of_model = found.setdefault(row.model, {"rule": None, "difference": None, "rules": {}})
        of_model["rules"][row.rule] = row.metrics.model_dump()
        if row.own:
            of_model["rule"] = row.rule
            of_model["difference"] = row.difference.as_json() if row.difference else None
    return found


def _answers(page: TaskReport, report: Path, *, prefix: bool) -> pd.DataFrame:
    """What the leading model says of each labelled test sample; of several tasks, with their names."""
    answers = pd.read_parquet(report / f"predictions-{page.name}.parquet").dropna()
    pairs = answers.rename(columns={"true": "actual", page.main.key: "predicted"})[["actual", "predicted"]]
    return page.name + ": " + pairs if prefix else pairs


def _report(
    pages: list[TaskReport], models: list[Indexed], packed: PackedDataset, params: Params, warnings: list[str]
) -> Report:
    parameters: dict[str, Any] = {}
    for model in models:
        parameters = merged(model.lineage.parameters(), parameters)
    lead = models[0]
    remarks = [CHOSEN, *(note for model in models for note in notes(model.name, model.state)), *warnings]
    return Report(
        title=f"{method_title(lead.lineage)}, answered by the {rule_title(lead.state.rule)}",
        dataset=f"{packed.info.provenance} (md5 {packed.info.md5}; licence: {packed.info.licence})",
        images=len(packed),
        seed=params.seed,
        tasks=pages,
        models=[model_report(model.name, model.state, model.lineage) for model in models],
        parameters=parameters | {"evaluate": params.model_dump(mode="json")},
        notes=remarks,
    )
