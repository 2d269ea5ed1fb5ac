"""What an artifact comes from: the tree of steps behind it, each with its parameters, down to the packed data sets.

Every artifact carries it as `lineage.json`. Steps that several branches share are written once, under a key that is a
digest of the step and of all that is behind it.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel

from longtail.artifacts.reading import UNREADABLE, reason
from longtail.errors import DataError
from longtail.stages import NAMED

FILE = "lineage.json"
ADD = "add"  # no stage of the pipeline: it adds classes to an index
PROPOSE = "propose"  # nor is this one: it makes a queue of what a model proposes
GROW = "grow"  # nor this: it makes a data set with the images of queues that people said yes or no to
BESIDE = (ADD, PROPOSE, GROW)  # of which params.yaml has no section


class Step(BaseModel, extra="forbid", frozen=True):
    """A stage that ran: its parameters, and for each of its inputs the key of the step that made it.

    `dataset` is the md5 of the packed data set whose rows the outputs' are.
    """

    stage: str
    params: dict[str, Any]
    inputs: dict[str, str]
    dataset: str | None

    @property
    def key(self) -> str:
        """12 hexadecimal digits: of equal steps, with equal steps behind them, the same."""
        return hashlib.sha256(json.dumps(self.model_dump(), sort_keys=True).encode()).hexdigest()[:12]


class Lineage(BaseModel, extra="forbid", frozen=True):
    """The steps behind an artifact, by key. `dataset` (md5) and `split` (key) say which samples its rows are.

    A data set that no stage has made has its md5 alone. Without any of this nothing is known of the artifact.
    """

    dataset: str | None = None
    split: str | None = None
    made_by: str | None = None
    steps: dict[str, Step] = {}

    @classmethod
    def read(cls, artifact: Path) -> Self:
        """The lineage of an artifact; an empty one if it carries none. Raises DataError if it cannot be read."""
        if not (artifact / FILE).exists():
            return cls()
        try:
            return cls.model_validate_json((artifact / FILE).read_text(encoding="utf-8"))
        except UNREADABLE as error:
            raise DataError(
                f"cannot read {artifact / FILE}: {reason(error, FILE)}; run the step that made {artifact} again"
            ) from error

    def write(self, artifact: Path) -> None:
        """Write it beside the files of an artifact."""
        (artifact / FILE).write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")

    def chain(self) -> Iterator[Step]:
        """The steps behind the artifact, each after all of its inputs, the one that made it last."""
        yield from _walk(self.made_by, self.steps, set())

    def parameters(self) -> dict[str, dict[str, Any]]:
        """The parameters of the steps behind the artifact, by stage; of stages with names in their section, by name.

        Of several steps of one stage the last is shown: the rounds share their parameters. One on other rows, whose
        weights a training began with, is shown only where there is none on these.
        """
        found: dict[str, dict[str, Any]] = {}
        for step in self.chain():
            if step.stage in NAMED:
                found.setdefault(NAMED[step.stage], {})[step.params["name"]] = step.params
            elif step.stage not in found or self._on_these_rows(step):
                found[step.stage] = step.params
        return found

    def _on_these_rows(self, step: Step) -> bool:
        return step.dataset == self.dataset and (step.stage != "split" or step.key == self.split)

    def training(self) -> Step | None:
        """The last training behind the artifact; None if nothing was trained."""
        return next((step for step in reversed(list(self.chain())) if step.stage in ("fit", "train")), None)

    @property
    def trained_here(self) -> bool:
        """Whether a training on these rows' data set is behind the artifact."""
        return any(step.stage in ("fit", "train") and step.dataset == self.dataset for step in self.chain())


def _walk(key: str | None, steps: Mapping[str, Step], seen: set[str]) -> Iterator[Step]:
    if key is None or key in seen:
        return
    seen.add(key)
    for before in steps[key].inputs.values():
        yield from _walk(before, steps, seen)
    yield steps[key]


def merged(values: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Both of two sets of parameters, the latter in front; of sections with names the entries of both."""
    named = {section: {**values.get(section, {}), **more.get(section, {})} for section in NAMED.values()}
    return {**values, **more, **{section: entries for section, entries in named.items() if entries}}


def check_same_rows(stage: str, inputs: Mapping[str, Lineage]) -> None:
    """Raise DataError if the inputs' rows are those of different data sets or splits."""
    for kind, found in (
        ("data sets", {one.dataset for one in inputs.values()}),
        ("splits", {one.split for one in inputs.values()}),
    ):
        if len(found - {None}) > 1:
            raise DataError(f"the inputs of {stage} come from different {kind}; run the steps before it again")


def extended(
    stage: str, params: dict[str, Any], rows: Mapping[str, Lineage], others: Mapping[str, Lineage], made: Lineage
) -> Lineage:
    """The lineage of what a stage makes. `rows`: of the inputs whose rows are the outputs'; `others`: of inputs that
    may come from other data; `made`: what the output itself says, which a packed data set does.
    """
    known = [*rows.values(), made]
    dataset = next((one.dataset for one in known if one.dataset), None)
    before = {name: one.made_by for name, one in {**rows, **others}.items() if one.made_by}
    step = Step(stage=stage, params=params, inputs=before, dataset=dataset)
    steps = {key: one for origin in [*rows.values(), *others.values()] for key, one in origin.steps.items()}
    split = step.key if stage == "split" else next((one.split for one in known if one.split), None)
    return Lineage(dataset=dataset, split=split, made_by=step.key, steps=steps | {step.key: step})
