"""The experiment that climbs the ladder, as a YAML that `python -m experiments FILE` runs."""

import os
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from longtail.advice.facts import Facts
from longtail.advice.ladder import ADJUSTED_STEP, PLAIN_STEP, Plan
from longtail.artifacts.lineage import Lineage
from longtail.errors import DataError
from longtail.rules.registry import ADJUSTED
from longtail.sources.quoting import shown
from longtail.stages import PARALLEL, ingest, split

BACKBONE = "timm/tf_efficientnet_lite0"  # its weights come with the package
SEEDS = [0, 1, 2]
SECOND = 0.2  # of the image passes are those of a second stage
RATE = 0.05
LINE = 100
LEAST_SIDE = 64  # of images, in pixels, from which on a pretrained network is advised


def check_place(file: Path) -> None:
    """Raise DataError unless the harness would read an experiment from this file, and it can be written."""
    if file.suffix != ".yaml":
        raise DataError(f"an experiment is a YAML, and {shown(file)} does not end so: name it {shown(file.stem)}.yaml")
    if file.is_dir() or not os.access(file.parent, os.W_OK):
        raise DataError(f"{shown(file)} cannot be written: name a file in a directory that is there")


def written(facts: Facts, plan: Plan, dataset: Path, features: Path | None, table: Path | None) -> str:
    """The YAML. Raises DataError if nobody knows how the data set was made, or it cannot be divided."""
    if facts.fault is not None:
        raise DataError(f"no experiment can be written, since the data set cannot be divided: {facts.fault}")
    network = _network(facts, features)
    methods = _methods(plan)
    experiment = {
        "title": f"{shown(dataset.name)}: the ladder",
        "about": f"As `longtail advise` wrote it: {plan.image_passes:,} image passes for every method.",
        "seeds": SEEDS,
        "baseline": "cross-entropy",
        "base": {
            "ingest": _section(Lineage.read(dataset), "ingest", ingest.Params, dataset),
            "split": {} if table is None else _section(Lineage.read(table), "split", split.Params, table),
            **network,
            "fits": _fits(plan, frozen="features" in network),
        },
        "settings": {"as it is": {}},
        "methods": methods,
    }
    head = "# Written by `longtail advise`. Augment images where a mirrored or turned one is still of its class.\n"
    return head + yaml.safe_dump(experiment, sort_keys=False, allow_unicode=True, width=LINE, default_flow_style=None)


def pretrained(facts: Facts, features: Path | None) -> bool:
    """Whether the experiment begins with pretrained weights: as the features say, else where images have 64 pixels or
    more a side. A network from scratch of such images has a layer of more numbers than a long tail can train.
    """
    if features is not None:
        return _start(features).get("prior") in ("imagenet", "file", "model")
    return min(facts.shape[:2]) >= LEAST_SIDE


def _network(facts: Facts, features: Path | None) -> dict[str, Any]:
    if features is not None:
        lineage = Lineage.read(features)
        if trained := sorted({step.stage for step in lineage.steps.values() if step.stage in PARALLEL}):
            raise DataError(
                f"{features} were made by a network that `longtail {trained[0]}` has trained, whose image passes every "
                "row would need too: give the features of `start`, or leave --experiment out"
            )
        known = lineage.parameters()
        start = {key: value for key, value in _start(features).items() if key != "seed"}
        kept: dict[str, Any] = next(iter(known.get("features", {}).values()), {})
        frozen = {key: value for key, value in kept.items() if key not in ("seed", "name")}
        return {
            "network": start.pop("network", {}),
            "start": start,
            "features": {"frozen": {"after": "start", **frozen}},
        }
    if pretrained(facts, features):
        return {
            "network": {"backbone": BACKBONE, "embedding": None},
            "start": {"prior": "imagenet", "embeddings": False},
            "features": {"frozen": {"after": "start"}},
        }
    return {"network": {"backbone": "small_cnn", "embedding": 64}}


def _start(features: Path) -> dict[str, Any]:
    found = Lineage.read(features).parameters().get("start")
    if found is None:
        raise DataError(f"{features} does not say which network made it; make it with `longtail features`")
    return found


def _section(lineage: Lineage, stage: str, model: type[BaseModel], artifact: Path) -> dict[str, Any]:
    """The parameters of the stage that made an artifact, those that are not its defaults."""
    made = lineage.steps.get(lineage.made_by or "")
    if made is None or made.stage != stage:
        raise DataError(
            f"{artifact} was not made by `longtail {stage}`, so no experiment can make it again: leave --experiment out"
        )
    try:
        params = model.model_validate(made.params)
    except ValidationError as error:
        raise DataError(f"{artifact} was made by another version of `longtail {stage}`; make it again") from error
    return {key: value for key, value in params.model_dump(mode="json", exclude_defaults=True).items() if key != "seed"}


def _fits(plan: Plan, *, frozen: bool) -> dict[str, Any]:
    def fit(passes: float, after: str = "start", **changes: Any) -> dict[str, Any]:
        return {
            "after": after,
            **({"on": "frozen"} if frozen else {}),
            "method": {"kind": "softmax"},
            "batch": plan.batch,
            "sampling": "natural",
            "cost": False,
            "optimisation": {"image_passes": round(passes), "learning_rate": RATE},
            **changes,
        }

    passes = plan.image_passes
    found = {"whole": fit(passes)}
    if any(step.model == "second" and step.tried for step in plan.steps):
        later = round(SECOND * passes)
        found["body"] = fit(passes - later)
        found["second"] = fit(later, "body", sampling="class_even", method={"kind": "crt"})
    return found


def _methods(plan: Plan) -> dict[str, Any]:
    """The plain training with its two rules, and each step that is worth one."""
    rules = ["head"] if plan.even else [ADJUSTED, "head"]
    found: dict[str, Any] = {"cross-entropy": {"model": "whole", "rules": rules}}
    for step in plan.steps:
        if step.tried and step.name not in (PLAIN_STEP, ADJUSTED_STEP):
            change = {"change": {"fits": {step.model: step.fit}}} if step.fit else {}
            found[step.name] = {"model": step.model, **change}
    return found
