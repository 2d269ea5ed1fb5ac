"""The steps of a turn: the pipeline's own stages, each in a tracked run, and each but once."""

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from longtail.artifacts.lineage import Lineage
from longtail.bootstrapping.plan import Plan
from longtail.environment import changed
from longtail.execution import execute
from longtail.parameters import check_section, label, stage_section
from longtail.stages.contract import params_model
from longtail.training.declared import DATASET, START


@dataclass(frozen=True)
class Turn:
    """Turn number `number`, from 1, in the directory of a bootstrapping; `dataset` and `split`: what it trains on."""

    number: int
    folder: Path
    dataset: Path
    split: Path

    @classmethod
    def of(cls, directory: Path, number: int, plan: Plan) -> "Turn":
        """The first is on the seed, each other on what grew before it."""
        folder = directory / f"turn-{number}"
        base, dataset, split = (directory, plan.dataset, plan.split) if number == 1 else (folder, "dataset", "split")
        return cls(number, folder, Path(os.path.normpath(base / dataset)), Path(os.path.normpath(base / split)))

    @property
    def index(self) -> Path:
        """The classifier of the turn."""
        return self.folder / "index"

    @property
    def queue(self) -> Path:
        """What people are asked in the turn."""
        return self.folder / "queue"


def make_split(turn: Turn, plan: Plan, seed_split: Path) -> None:
    """Divide what has grown as the seed was: by its official subsets."""
    before = Lineage.read(seed_split).parameters().get("split", {})
    # What the seed's split has injected, hidden or made background is in the grown data.
    section = {"seed": plan.seed, "rare_classes": before.get("rare_classes", "error")}
    _run(turn, plan, "split", {"dataset": turn.dataset, "split": turn.split}, section=section)


def make_index(turn: Turn, plan: Plan) -> None:
    """Train what the plan says, after all that it follows, and fit the rules."""
    declared, rows = plan.trainings, {"dataset": turn.dataset, "split": turn.split}
    model = {name: turn.folder / name / "model" for name in (START, *declared.after)}
    _run(turn, plan, "start", rows | {"model": model[START]})
    for name in declared.up_to(plan.training):
        before, on = model[declared.after[name]], declared.on[name]
        if on != DATASET:
            made = {"model": model[declared.features[on]], "features": turn.folder / on}
            _run(turn, plan, "features", rows | made, name=on)
        trained = {"dataset": turn.dataset if on == DATASET else turn.folder / on, "split": turn.split}
        trained |= {"previous": before, "model": model[name]}
        if name in declared.fits:
            _run(turn, plan, "fit", trained, name=name)
        else:
            _round(turn, plan, name, trained)
    _run(turn, plan, "index", {"split": turn.split, "model": model[plan.training], "index": turn.index})


def _round(turn: Turn, plan: Plan, name: str, trained: dict[str, Path]) -> None:
    clusters, table = turn.folder / name / "clusters", turn.folder / name / "quintuplets"
    before = {"split": turn.split, "model": trained["previous"], "clusters": clusters}
    _run(turn, plan, "cluster", before, of=name)
    _run(turn, plan, "quintuplets", before | {"quintuplets": table}, of=name)
    _run(turn, plan, "train", {"quintuplets": table, **trained}, of=name)


def _run(
    turn: Turn,
    plan: Plan,
    stage: str,
    paths: dict[str, Path],
    *,
    name: str | None = None,
    of: str | None = None,
    section: dict[str, Any] | None = None,
) -> None:
    """Run a stage unless its output, the last of the paths, is there; `name`: its entry, `of`: its round."""
    if list(paths.values())[-1].exists():
        return
    with step(turn, plan, " ".join(filter(None, [stage, name or of]))):
        execute(stage, paths, _params(plan, stage, name, section), plan.parameters)


def _params(plan: Plan, stage: str, name: str | None, section: dict[str, Any] | None) -> BaseModel:
    model = params_model(importlib.import_module(f"longtail.stages.{stage}").run)
    if section is None:
        section = stage_section(plan.parameters, stage, model, "the parameters", name)
    checked: BaseModel = check_section(label(stage, name), section, model, "the parameters")
    return checked


@contextmanager
def step(turn: Turn, plan: Plan, title: str) -> Iterator[str]:
    """What a step finds in the environment: what its run in MLflow is called, which it gives, and of which pipeline."""
    called = f"turn {turn.number}: {title}"
    wanted = {"LONGTAIL_STEP": called, "LONGTAIL_EXECUTION": plan.execution}
    wanted |= {"MLFLOW_RUN_NAME": os.environ.get("MLFLOW_RUN_NAME") or f"bootstrap {turn.folder.resolve().parent.name}"}
    with changed({**wanted, "DVC_STAGE": None}):  # one stage of DVC for all of them would be one run
        yield called
