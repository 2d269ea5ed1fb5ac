"""The classifier of a trained model: its network, and every rule fitted, with what is open chosen on validation."""

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, Field, field_validator

from longtail.artifacts.reading import write_json
from longtail.data.dataset import Task
from longtail.data.seed import Seed
from longtail.data.splits import Split
from longtail.errors import DataError
from longtail.network.snapshot import State, best
from longtail.rules.base import Evidence, Floats, Rule, rule_class
from longtail.rules.cluster_wise import ClusterWise
from longtail.rules.clusters import ClusterSize
from longtail.rules.evidence import read_evidence
from longtail.rules.familiarity import Familiarity
from longtail.rules.probabilities import PROBABILITIES, Probabilities
from longtail.rules.registry import RULES, fit_rules
from longtail.rules.search import Measure, Search
from longtail.sources.quoting import listed
from longtail.stages.contract import Input, Output, stage

Share = Annotated[float, Field(ge=1e-9, lt=1)]


class Params(BaseModel, extra="forbid"):
    """The `index` section of params.yaml, with the shared seed, cluster_size and search."""

    seed: Seed = 0
    cluster_size: ClusterSize = None
    search: Search = Search()
    target: dict[str, dict[str, Share]] = Field(
        {}, description="by task, the share of each class where the model is to be used; default: even"
    )
    rules: list[str] = Field(
        list(RULES), description="those to fit where they can be; cluster_wise and the model's own in any case"
    )
    choose_by: Measure = Field(
        "mean_class_accuracy",
        exclude_if=lambda measure: measure == "mean_class_accuracy",
        description="by which measure k, τ, thresholds and what else rules leave open are chosen on validation: "
        "mean_class_accuracy or average_f1",
    )
    rule: str | None = Field(
        None,
        exclude_if=lambda key: key is None,
        description="by which every model answers that has it, in the report and where it is served, such as "
        "head_adjusted; null: that of its method",
    )

    @field_validator("rule")
    @classmethod
    def _exists(cls, key: str | None) -> str | None:
        return None if key is None else cls._exist([key])[0]

    @field_validator("rules")
    @classmethod
    def _exist(cls, keys: list[str]) -> list[str]:
        for key in keys:
            if key not in RULES:
                raise ValueError(f"there is no rule {key!r}; there are {', '.join(RULES)}")
        return keys

    def target_of(self, task: Task) -> Floats | None:
        """The shares in the order of the task's classes. Raises DataError if they are not those of all its classes."""
        shares = self.target.get(task.name)
        if shares is None:
            return None
        if set(shares) != set(task.classes) or abs(sum(shares.values()) - 1) > 1e-6:
            raise DataError(
                f"index.target.{task.name} must give each of the classes {listed(task.classes)} its share, 1 in all"
            )
        return np.array([shares[name] for name in task.classes], np.float32)


@stage
def run(split: Input, model: Input, index: Output, *, params: Params) -> dict[str, float]:
    """Write all that answers for the model's best round: `snapshot`, `state.json`, the fitted rules in `rules`, and in
    `rules.json` which there are for each task, what they reach on validation, which is returned too, and the
    temperature at which their scores are probabilities.
    """
    table, state = Split.open(split), State.read(model)
    if unknown := set(params.target) - {task.name for task in table.tasks}:
        raise DataError(
            f"index.target names {listed(unknown)}; the tasks are {listed(one.name for one in table.tasks)}"
        )
    shutil.copytree(best(model), index / "snapshot")
    (index / "rules").mkdir()
    summaries = {}
    report: dict[str, float] = {}
    for task in table.tasks:
        evidence = read_evidence(
            best(model),
            table,
            task,
            cluster_size=params.cluster_size,
            search=params.search,
            seed=params.seed,
            target=params.target_of(task),
            measure=params.choose_by,
        )
        _say_what_is_left_out(params.rules, task, evidence)
        asked = params.rule if params.rule is not None else state.rule
        fitted = fit_rules([*params.rules, "cluster_wise", state.rule, asked], evidence)
        summaries[task.name] = _written(index / "rules", task.name, fitted, evidence)
        report |= {f"{task.name}_validation_{key}": rule.score for key, rule in fitted.items()}
        report |= {
            f"{task.name}_{name}": float(summaries[task.name]["cluster_wise"][name]) for name in ("clusters", "k")
        }
    write_json(index / "rules.json", summaries)
    _answering(state, params.rule, summaries).write(index)
    return report


def _answering(state: State, asked: str | None, fitted: Mapping[str, Mapping[str, Any]]) -> State:
    """The state of a model that answers by the rule that is asked for, if every task has it."""
    if asked is None:
        return state
    if without := [task for task, rules in fitted.items() if asked not in rules]:
        print(
            f"index: the model has no rule {asked} on {', '.join(without)}, so it answers by that of its method, "
            f"{state.rule}",
            file=sys.stderr,
        )
        return state
    return state.model_copy(update={"rule": asked})


def _written(folder: Path, task: str, fitted: Mapping[str, Rule], evidence: Evidence) -> dict[str, dict[str, Any]]:
    """Write the rules of a task, and what is like its training; by rule what rules.json has of it."""
    for rule in fitted.values():
        rule.save(folder, task)
    clusters = fitted["cluster_wise"]
    assert isinstance(clusters, ClusterWise)
    Familiarity.fit(clusters, evidence).save(folder, task)
    return {
        key: {**rule.summary(), PROBABILITIES: Probabilities.fit(rule, evidence).model_dump()}
        for key, rule in fitted.items()
    }


def _say_what_is_left_out(keys: list[str], task: Task, evidence: Evidence) -> None:
    """Of rules that are asked for by name; of all that there are, everybody expects those that can be fitted."""
    for key in () if keys == list(RULES) else keys:
        if why := rule_class(key).obstacle(evidence):
            print(f"index: {task.name} has no rule {key}: {why}", file=sys.stderr)
