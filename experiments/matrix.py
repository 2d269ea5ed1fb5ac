"""What the YAML of an experiment declares, and the cells that it makes."""

import importlib
from itertools import product
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from longtail.errors import DataError
from longtail.parameters import SHARED, check_section
from longtail.stages import STAGES
from longtail.stages.contract import params_model

# The stages of a cell.
STEPS = ("ingest", "split", "start", "cluster", "quintuplets", "train", "fit", "index")
Sections = dict[str, Any]
TrainedBy = Literal["rounds", "fit"]
Classifier = Literal["cluster_wise", "sample_wise", "class_mean", "head", "head_and_knn"]


class Method(BaseModel, extra="forbid"):
    """A row of the table: what it changes in the parameters, how it is trained, and how it classifies.

    It is trained by `start` and the rounds that follow, or by `fit` alone. The first of `classifiers` is the method's
    own; others are rows of their own, "method, classifier".
    """

    change: Sections = {}
    rounds: int | None = Field(None, ge=0)
    trained_by: TrainedBy = "rounds"
    classifiers: list[Classifier] = Field(["cluster_wise"], min_length=1)

    @model_validator(mode="after")
    def _fit_has_no_rounds(self) -> "Method":
        if self.trained_by == "fit" and self.rounds:
            raise ValueError("`fit` trains without rounds; leave `rounds` out")
        return self


class Matrix(BaseModel, extra="forbid"):
    """An experiment. `base` has sections as params.yaml; `settings` and methods change some of their values. In the
    YAML, `extends: NAME` takes the base of another experiment, which `base` then changes; `methods: NAME` takes its
    methods.

    `paper` holds another's figures, in percent, by method and setting; they are shown and never computed with.
    """

    title: str
    about: str = ""
    seeds: list[int] = Field([0, 1, 2], min_length=1)
    rounds: int = Field(3, ge=0)
    baseline: str
    base: Sections
    settings: dict[str, Sections] = Field(min_length=1)
    methods: dict[str, Method] = Field(min_length=1)
    paper: dict[str, dict[str, float]] = {}

    @model_validator(mode="after")
    def _names_exist(self) -> "Matrix":
        if self.baseline not in self.methods:
            raise ValueError(f"the baseline {self.baseline!r} is none of the methods {list(self.methods)}")
        for name, figures in self.paper.items():
            unknown = set(figures) - set(self.settings)
            if name not in self.methods or unknown:
                raise ValueError(f"paper: {name!r} is no method, or {sorted(unknown)} are no settings")
        return self

    @model_validator(mode="after")
    def _seeds_differ(self) -> "Matrix":
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"a seed stands twice in {self.seeds}")
        return self

    @model_validator(mode="after")
    def _equal_budgets(self) -> "Matrix":
        budgets = {cell.name: cell.budget() for cell in self.model_copy(update={"seeds": self.seeds[:1]}).cells()}
        if len(set(budgets.values())) > 1:
            raise ValueError(f"the cells differ in image passes, and a comparison needs equal budgets: {budgets}")
        return self

    @property
    def last_setting(self) -> str:
        """The setting that is shown in detail: class by class, with the gain by class size, and its margins."""
        return list(self.settings)[-1]

    def rounds_of(self, method: str) -> int:
        """The rounds that follow `start`; none where `fit` trains."""
        rounds, trained_by = self.methods[method].rounds, self.methods[method].trained_by
        return 0 if trained_by == "fit" else self.rounds if rounds is None else rounds

    def cells(self) -> list["Cell"]:
        """Every cell: seeds outermost, so that an interrupted run has whole tables of fewer seeds."""
        return [self._cell(*key) for key in product(self.seeds, self.settings, self.methods)]

    def _cell(self, seed: int, setting: str, method: str) -> "Cell":
        changed = merge(merge(self.base, self.settings[setting]), self.methods[method].change)
        rounds = self.rounds_of(method)
        sections, trained_by = changed | {"seed": seed}, self.methods[method].trained_by
        return Cell(setting=setting, method=method, seed=seed, rounds=rounds, trained_by=trained_by, sections=sections)


class Cell(BaseModel, extra="forbid"):
    """One cell: a method in a setting with a seed, and all its parameters."""

    setting: str
    method: str
    seed: int
    rounds: int
    trained_by: TrainedBy = "rounds"
    sections: Sections

    @property
    def name(self) -> str:
        """What it is called in messages and in MLflow."""
        return f"{self.method}, {self.setting}, seed {self.seed}"

    @property
    def folder(self) -> Path:
        """Where its result lies, relative to the experiment's directory."""
        return Path(*(part.replace("/", "_") for part in (self.setting, self.method, f"seed-{self.seed}")))

    def budget(self) -> int:
        """The image passes of all training. Raises ValueError where they are not said, or rounds could be skipped."""
        if self.trained_by == "fit":
            alone = (self.sections.get("fit") or {}).get("optimisation", {}).get("image_passes")
            if alone is None:
                raise ValueError(f"{self.name}: say image_passes in the optimisation of fit")
            return int(alone)
        start, train = (self.sections.get(stage) or {} for stage in ("start", "train"))
        passes = [section.get("optimisation", {}).get("image_passes") for section in (start, train)]
        trains = start.get("prior", "softmax") == "softmax"
        if (trains and passes[0] is None) or (self.rounds and passes[1] is None):
            raise ValueError(f"{self.name}: say image_passes in the optimisation of start and train")
        if self.rounds > 1 and train.get("patience", 1) < self.rounds:
            raise ValueError(f"{self.name}: set train.patience to {self.rounds}, or rounds are skipped")
        return int((passes[0] if trains else 0) + self.rounds * (passes[1] or 0))

    def check(self, classifiers: list[Classifier]) -> None:
        """Raise DataError if a stage would refuse its parameters, or a classifier is not trained."""
        models = {s: params_model(importlib.import_module(f"longtail.stages.{s}").run) for s in STEPS}
        params = {stage: self.params(stage, model, self.name) for stage, model in models.items()}
        kind = params["train"].method.kind if self.rounds else params["start"].prior
        has_head = self.trained_by == "fit" or kind in ("softmax", "joint")
        if not has_head and any(one.startswith("head") for one in classifiers):
            raise DataError(f"{self.name}: {kind} trains no classifier, so it cannot be classified by {classifiers}")

    def params(self, stage: str, model: type[BaseModel], source: str) -> Any:
        """The parameters of a stage: its section after the shared values. Raises DataError."""
        shared = {n: self.sections[n] for n in SHARED if n in self.sections and n in model.model_fields}
        return check_section(stage, shared | (self.sections.get(stage) or {}), model, source)


def merge(values: Sections, changes: Sections) -> Sections:
    """`values` with the changes, section in section. A mapping with another `kind` takes the place of the whole."""
    merged = dict(values)
    for name, change in changes.items():
        before = merged.get(name)
        merged[name] = change
        if isinstance(before, dict) and isinstance(change, dict):
            kind = before.get("kind")
            merged[name] = merge(before, change) if change.get("kind", kind) == kind else change
    return merged


def experiment_file(name: str) -> Path:
    """The YAML of an experiment of this folder, or of any other if a path to it is given."""
    return Path(name) if name.endswith(".yaml") else Path(__file__).with_name(f"{name}.yaml")


def read_matrix(file: Path) -> Matrix:
    """The experiment that a YAML declares. Raises DataError with one sentence on what is wrong."""
    try:
        matrix = Matrix.model_validate(_declared(file))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"cannot read the experiment {file}: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'all'}: {e['msg']}" for e in error.errors())
        raise DataError(f"{file}: {wrong}") from error
    for cell in matrix.cells():
        unknown = set(cell.sections) - {*STAGES, *SHARED}
        if unknown:
            raise DataError(f"{file}: {cell.name}: {sorted(unknown)} are neither stages nor shared parameters")
    return matrix


def _declared(file: Path, after: tuple[Path, ...] = ()) -> Any:
    """What a YAML says, with what it takes of other experiments; `after`: the files whose reading led to this one."""
    if file in after:
        raise DataError(f"the experiment {file} takes from itself; leave one `extends` or `methods` out")
    values = yaml.safe_load(file.read_text())
    if isinstance(values, dict):
        if "extends" in values:
            values["base"] = merge(_taken("base", values.pop("extends"), (*after, file)), values.get("base", {}))
        if isinstance(values.get("methods"), str):
            values["methods"] = _taken("methods", values["methods"], (*after, file))
    return values


def _taken(section: str, name: Any, after: tuple[Path, ...]) -> Any:
    """A section of another experiment's YAML."""
    other = _declared(experiment_file(str(name)), after)
    if not isinstance(other, dict) or not isinstance(other.get(section), dict):
        raise DataError(f"{after[-1]} takes `{section}` from {name!r}, which has none")
    return other[section]
