"""Metrics on the test subset, the models side by side, the report, and the first model as MLflow serves it."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import BaseModel, Field, field_validator, model_validator

from longtail import tracking
from longtail.artifacts.lineage import ADD, Lineage, merged
from longtail.artifacts.reading import read_json
from longtail.data.dataset import PackedDataset, Task
from longtail.data.seed import Seed
from longtail.data.splits import Split
from longtail.errors import DataError
from longtail.metrics.answers import answered, answers_of
from longtail.metrics.scores import PUBLISHED, Shots
from longtail.network.snapshot import State, collapse_warning, read_embeddings, read_logits, read_priors
from longtail.problems.classification import Extent, Judged, answers_table, labels, task_means, task_report
from longtail.problems.doubts import doubted
from longtail.problems.explanation import explained
from longtail.problems.fineness import fineness
from longtail.problems.operating_point import operating_point
from longtail.problems.served import served_model
from longtail.progress import Advance
from longtail.report import Report, TaskReport, render
from longtail.report.card import model_card
from longtail.report.files import write_tables
from longtail.report.history import method_title, model_report, notes, seen_as, started_from, trained_elsewhere
from longtail.report.limits import in_full
from longtail.report.names import short
from longtail.report.scalars import row_scalars, step_scalars
from longtail.report.titles import rule_title
from longtail.report.verdict import fewest_of_a_class, verdict
from longtail.rules.base import rule_class
from longtail.rules.cluster_wise import ClusterWise
from longtail.rules.head_adjusted import HeadAdjusted
from longtail.rules.registry import ADJUSTED, HEAD
from longtail.stages.contract import Input, Inputs, Output, stage
from longtail.tracking.naming import check_model_name, registered

FEWEST_RESAMPLES = 200  # five beyond either end of a 95 % interval
CHOSEN = "Rounds, k, decisions and weights are chosen on the validation subset; the metrics are on the test subset."


class Params(BaseModel, extra="forbid"):
    """The `evaluate` section of params.yaml, with the shared seed."""

    seed: Seed = 0
    models: list[str] = Field(min_length=1, description="names of trainings; the first leads")
    baseline: str | None = Field(None, description="the model that the others are compared with; default: the first")
    resamples: int = Field(
        1000, ge=0, description="bootstrap resamples for the 95 % intervals and p-values, at least 200; 0: none"
    )
    mistakes: int = Field(24, ge=0, description="wrongly classified test images to show")
    map_points: int = Field(1000, ge=50, description="test samples, and clusters, on the map of the embedding")
    shots: Shots = Field(PUBLISHED, description="when a class is many-shot or few-shot; default: as is published")
    registered_model: str | None = Field(
        None,
        description="what MLflow registers the first model under; null: longtail- and the last part of the data's name",
    )

    @field_validator("registered_model")
    @classmethod
    def _is_a_name(cls, name: str | None) -> str | None:
        return name if name is None else check_model_name(name)

    @model_validator(mode="after")
    def _each_model_once(self) -> "Params":
        if len(set(self.models)) < len(self.models):
            raise ValueError(f"a model is named twice: {self.models}")
        return self

    @model_validator(mode="after")
    def _baseline_is_a_model(self) -> "Params":
        if self.baseline is not None and self.baseline not in self.models:
            raise ValueError(f"the baseline {self.baseline!r} is none of the models {self.models}")
        return self

    @model_validator(mode="after")
    def _enough_resamples(self) -> "Params":
        if 0 < self.resamples < FEWEST_RESAMPLES:
            raise ValueError(
                f"{self.resamples} resamples are too few for a 95 % interval: give at least {FEWEST_RESAMPLES}, or 0 "
                "for none"
            )
        return self


FOR_TARGET = (
    "index.target says how often classes come where the model is used. The adjusted and the τ-normalised head, "
    "thresholds and soft voting are for that; the scores of this report count all classes alike, and differences are "
    "to a baseline for even ones."
)


@dataclass(frozen=True)
class Indexed:
    """A model as `index` has left it."""

    name: str
    path: Path
    state: State
    lineage: Lineage

    @classmethod
    def open(cls, name: str, path: Path) -> "Indexed":
        lineage = Lineage.read(path)
        if any(step.stage == ADD for step in lineage.chain()):
            raise DataError(
                f"{path} has classes that were added without training, of which the split has no image; evaluate the "
                "index that they were added to"
            )
        return cls(name, path, State.read(path), lineage)

    def on(self, task: Task, *, as_baseline: bool = False) -> Judged:
        """The model on one task; as a baseline by its head less the log prior, where it would answer by its head."""
        keys = read_json(self.path / "rules.json")[task.name]
        rules = {key: rule_class(key).load(self.path / "rules", task.name) for key in keys}
        embeddings = read_embeddings(self.path / "snapshot", task.name)
        logits = read_logits(self.path / "snapshot", task.name)
        end, beginning, *_ = *read_priors(self.path / "snapshot", task.name), None, None
        adjusted = rules.get(ADJUSTED)
        # A head may still be as at the beginning of its training, whatever is asked of it.
        prior = beginning if isinstance(adjusted, HeadAdjusted) and adjusted.earlier else end
        by_adjusted = as_baseline and self.state.rule == HEAD and adjusted is not None
        rule = ADJUSTED if by_adjusted else self.state.rule
        return Judged(self.name, rule, rules, embeddings, logits, len(task.classes), prior)


@stage
def run(dataset: Input, split: Input, indexes: Inputs, report: Output, *, params: Params) -> dict[str, float]:
    """Write `report.html`, the leading model's `model_card.md`, `metrics.json`, the predictions and the tables beside
    them; return the main metrics.

    `indexes` has an index for each of the models, by its name.
    """
    packed, table = PackedDataset.open(dataset), Split.open(split)
    models = [Indexed.open(name, indexes / name) for name in params.models]
    report.mkdir(parents=True, exist_ok=True)
    content = _judged(models, packed, table, params, report)
    print("evaluate: writing the report", file=sys.stderr, flush=True)
    write_tables(content, models[0].state, report)
    (report / "report.html").write_text(render(content), encoding="utf-8")
    (report / tracking.CARD).write_text(_card(content, models[0], packed, table, params), encoding="utf-8")
    found = verdict(content)
    print(found)
    for name in ("report.html", tracking.CARD, "per_class.csv"):
        tracking.log_artifact(report / name, parent=True)
    tracking.log_artifact(report / tracking.ANSWERS)
    tracking.log_metrics({f"test/{name}": value for name, value in row_scalars(content).items()})
    scalars = step_scalars(content)
    tracking.log_metrics({f"test/{name}": value for name, value in scalars.items()}, parent=True)
    tracking.set_description(found)
    tracking.log_dataset(packed.info, table.info, models[0].lineage.split or "", parent=True)
    example = packed.images(table.samples["row"].to_numpy()[table.positions("test")[:2]])
    # Those of the leading model: the names of others' have the model's in them.
    metrics, comparison = [f"test/{name}" for name in scalars if name.count("/") == 1], _comparison(content)
    tracking.log_model(
        models[0].path,
        tasks=table.tasks,
        example=example,
        card=report / tracking.CARD,
        metrics=metrics,
        comparison=comparison,
        parent=True,
    )
    return scalars


def _card(content: Report, lead: Indexed, packed: PackedDataset, table: Split, params: Params) -> str:
    shown = [table.tasks[place] for place in in_full(content.tasks)]
    name = registered(dict(content.parameters), packed.info.md5)
    return model_card(
        content, served_model(lead.path, lead.on, shown, table, params.shots), f"models:/{name}@challenger"
    )


def _comparison(content: Report) -> dict[str, str | float]:
    """The paired test of the leading model against the baseline, as far as there is one, and how many independent test
    images the rarest class has.
    """
    lead = content.standings[0]
    found = lead.difference.as_json() if lead.difference else {}
    return {
        "model": lead.model,
        "baseline": content.tasks[0].baseline,
        "fewest": fewest_of_a_class(content.tasks),
        **{name: value for name, value in found.items() if value is not None},
    }


def _judged(models: list[Indexed], packed: PackedDataset, table: Split, params: Params, folder: Path) -> Report:
    """What the report shows of the models on every task; their answers are written into the folder."""
    extent = Extent(params.resamples, params.mistakes, params.map_points, params.seed, params.shots)
    baseline = params.baseline or params.models[0]
    pages: list[TaskReport] = []
    own: list[dict[str, npt.NDArray[np.int64]]] = []
    references: list[npt.NDArray[np.int64]] = []
    warnings: list[str] = []
    with Advance("evaluate: tasks", len(table.tasks)) as advance:
        for task in table.tasks:
            # The leading model is served as it answers here, so it answers by its own rule, baseline or not.
            judged = [models[0].on(task), *(one.on(task, as_baseline=one.name == baseline) for one in models[1:])]
            page, said = task_report(task, judged, baseline, table, extent)
            pages.append(replace(page, operating=operating_point(task, judged, said, table, params.shots)))
            own.append({model.name: said[model.name][model.rule] for model in judged})
            compared = next(model for model in judged if model.name == baseline)
            references.append(compared.reference_answers(table.positions("test")))
            answers_table(task, said, table).to_parquet(folder / f"predictions-{task.name}.parquet", index=False)
            for model, one in zip(models, judged, strict=True):
                warnings += _warnings(one, task, table, in_rounds=model.state.round > 0)
            advance.add(note=short(task.name))
    lead = _answers(packed, table, [said[models[0].name] for said in own])
    lead.to_parquet(folder / tracking.ANSWERS, index=False)
    means = task_means(pages, own, references, table, extent) if len(pages) > 1 else []
    shown = in_full(pages)
    with Advance("evaluate: maps and mistakes", len(shown)) as advance:
        for place in shown:
            task, said_by_lead = table.tasks[place], own[place][models[0].name]
            page = explained(pages[place], task, models[0].on(task), said_by_lead, table, packed, extent)
            pages[place] = replace(page, fineness=fineness(task, [one.on(task) for one in models], table, packed))
            advance.add(note=short(task.name))
    pages, copies = doubted(pages, shown, models[0].path, models[0].on, table, packed)
    if copies is None:
        warnings.append(
            f"Near-duplicates among {len(table.samples):,} images were not looked for: `longtail audit` does."
        )
    made = replace(_report(pages, models, packed, table, params, warnings), means=means, copies=copies)
    challenger = made.challenger.model if made.challenger else None
    return replace(made, tasks=[replace(page, challenger=challenger) for page in pages])


def _answers(packed: PackedDataset, table: Split, said: list[npt.NDArray[np.int64]]) -> pd.DataFrame:
    """What the leading model says of the test samples, by its own rule: others are compared with it later."""
    columns: dict[str, pd.Categorical[str]] = {}
    for task, answers in zip(table.tasks, said, strict=True):
        columns |= answered(task.name, task.classes, labels(task, table), answers)
    return answers_of(packed.info.md5, table.samples.iloc[table.positions("test")], columns)


def _warnings(model: Judged, task: Task, table: Split, *, in_rounds: bool) -> list[str]:
    """What a reader has to know of a model: a collapse, and clusters that are classes where rounds or a rule are on
    clusters.
    """
    said = [collapse_warning(task.name, model.embeddings, table.labels(task))]
    by_clusters = model.rules["cluster_wise"]
    if isinstance(by_clusters, ClusterWise) and (in_rounds or model.rule == "cluster_wise"):
        said.append(by_clusters.clusters.warning(task.name))
    return [f"{model.name}: {warning}" for warning in said if warning]


def _has_target(model: Indexed) -> bool:
    """Whether its rules are for classes as they come somewhere, and not for even ones."""
    return bool(model.lineage.parameters().get("index", {}).get("target"))


def _report(
    pages: list[TaskReport],
    models: list[Indexed],
    packed: PackedDataset,
    table: Split,
    params: Params,
    warnings: list[str],
) -> Report:
    parameters: dict[str, Any] = {}
    for model in models:
        parameters = merged(model.lineage.parameters(), parameters)
    lead, origins = models[0], {model.name: model.lineage for model in models}
    remarks = [
        CHOSEN,
        *(f"{change[0].upper()}{change[1:]}." for change in table.info.sentences()),
        *(note for model in models for note in notes(model.name, model.state)),
        *(
            note
            for model in models
            for note in (*trained_elsewhere(model.name, model.lineage), *seen_as(model.name, model.lineage))
        ),
        *warnings,
        *([FOR_TARGET] if any(map(_has_target, models)) else []),
    ]
    return Report(
        title=f"{method_title(lead.lineage)}, answered by the {rule_title(lead.state.rule)}",
        dataset=f"{packed.info.provenance} (md5 {packed.info.md5}; licence: {packed.info.licence})",
        images=len(packed),
        seed=params.seed,
        tasks=pages,
        models=[
            model_report(model.name, model.state, model.lineage, started_from(model.name, origins)) for model in models
        ],
        samples={name: subset.samples for name, subset in table.info.subsets.items()},
        parameters=parameters | {"evaluate": params.model_dump(mode="json")},
        notes=remarks,
    )
