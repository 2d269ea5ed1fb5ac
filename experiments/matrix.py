"""What the YAML of an experiment declares, and the cells that it makes."""

import importlib
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from longtail.artifacts.yaml_file import read_yaml
from longtail.data.seed import Seed
from longtail.errors import DataError
from longtail.methods.catalogue import entry_of
from longtail.methods.colours import check_colours
from longtail.parameters import SHARED, check_section, label, stage_section
from longtail.rules.base import rule_class
from longtail.rules.registry import ADJUSTED, PUBLISHED, RULES
from longtail.stages import EDGE_STAGES, NAMED
from longtail.stages.contract import params_model
from longtail.training.declared import Trainings, declared_trainings
from longtail.wrong_values import wrong_values

if TYPE_CHECKING:
    from longtail.methods.base import MethodParams

# The sections of a cell: of the steps that every one has, of those of a round, and of the trainings.
ALWAYS = ("ingest", "split", "start", "index")
ROUND = ("cluster", "quintuplets", "train")
TRAININGS = ("features", "fits", "rounds")
Sections = dict[str, Any]
Score = Literal["accuracy", "average_f1", "minority_f1"]


class Method(BaseModel, extra="forbid"):
    """A row of the table: what it changes in the parameters, the training that is evaluated, and how that answers.

    The first of `rules` is the method's own, by default that of how the model was trained last; others are rows of
    their own, "method, rule". All methods have the same image passes, but one with `own_budget`, whose rows say its
    own: a network on the way to another's.
    """

    change: Sections = {}
    model: str
    rules: list[str] = []
    own_budget: bool = False

    @field_validator("rules")
    @classmethod
    def _exist(cls, keys: list[str]) -> list[str]:
        for key in keys:
            if key not in RULES:
                raise ValueError(f"there is no rule {key!r}; there are {', '.join(RULES)}")
        return keys


class Matrix(BaseModel, extra="forbid"):
    """An experiment. `base` has sections as params.yaml, `fits` and `rounds` among them; `settings` and methods change
    some of their values. In the YAML, `extends: NAME` takes the base of another experiment, which `base` then changes;
    `methods: NAME` takes its methods.

    `paper` holds another's figures, in percent, by method and setting; they are shown and never computed with.
    """

    title: str
    about: str = ""
    seeds: list[Seed] = Field([0, 1, 2], min_length=1)
    baseline: str
    base: Sections
    settings: dict[str, Sections] = Field(min_length=1)
    methods: dict[str, Method] = Field(min_length=1)
    paper: dict[str, dict[str, float]] = {}
    scores: list[Score] = Field(
        [], description="others than the mean per-class accuracy, which have a table of their own"
    )

    @model_validator(mode="after")
    def _sections_exist(self) -> "Matrix":
        known = {*ALWAYS, *ROUND, *TRAININGS, *SHARED, *EDGE_STAGES}
        changes = [self.base, *self.settings.values(), *(method.change for method in self.methods.values())]
        if unknown := sorted({name for sections in changes for name in sections} - known):
            raise ValueError(f"{unknown} are neither stages, trainings nor shared parameters; known: {sorted(known)}")
        return self

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
        if self.methods[self.baseline].own_budget:
            raise ValueError(f"the baseline {self.baseline!r} has a budget of its own, and others compare with it")
        cells = self.model_copy(update={"seeds": self.seeds[:1]}).cells()
        own_budgets = [name for name, method in self.methods.items() if method.own_budget]
        own = {name: {cell.budget() for cell in cells if cell.method == name} for name in own_budgets}
        if unequal := {name: sorted(budgets) for name, budgets in own.items() if len(budgets) > 1}:
            raise ValueError(f"the settings differ in image passes, of which a row says one number: {unequal}")
        budgets = {cell.name: cell.budget() for cell in cells if cell.method not in own}
        if len(set(budgets.values())) > 1:
            raise ValueError(
                f"the cells differ in image passes, and a comparison needs equal budgets, or own_budget: {budgets}"
            )
        return self

    def budget(self, method: str) -> int:
        """The image passes of a method: the baseline's, unless it has its own."""
        return self._cell(self.seeds[0], self.last_setting, method).budget()

    def shown(self, method: str) -> str:
        """What a method is called in tables and figures: with its image passes where they are its own."""
        return f"{method} ({self.budget(method):,} passes)" if self.methods[method].own_budget else method

    @property
    def last_setting(self) -> str:
        """The setting that is shown in detail: class by class, with the gain by class size, and its margins."""
        return list(self.settings)[-1]

    def rules_of(self, method: str) -> list[str]:
        """The rules of a method's rows, its own first: by default that of its training in the last setting. Where a
        classifier is trained the adjusted head is among them: a gain that it has too is a moved threshold. Where the
        cluster-wise kNN is, so is that as published.
        """
        cell = self._cell(self.seeds[0], self.last_setting, method)
        rules = list(self.methods[method].rules or [cell.own_rule])
        if "cluster_wise" in rules and PUBLISHED not in rules:
            rules.insert(rules.index("cluster_wise") + 1, PUBLISHED)
        return rules if not cell.trains_classifier or ADJUSTED in rules else [*rules, ADJUSTED]

    def cells(self) -> list["Cell"]:
        """Every cell: seeds outermost, so that an interrupted run has whole tables of fewer seeds.

        Raises DataError if the trainings that one declares cannot be.
        """
        return [self._cell(*key) for key in product(self.seeds, self.settings, self.methods)]

    def _cell(self, seed: int, setting: str, method: str) -> "Cell":
        changed = merge(merge(self.base, self.settings[setting]), self.methods[method].change)
        model = self.methods[method].model
        found = declared(model, changed, f"{method}, {setting}")
        trainings = found.up_to(model)
        leading = [*trainings, *(found.on[training] for training in trainings)]
        # What does not lead to the model is none of the cell's: a change of it leaves the result as it is.
        for name in TRAININGS:
            entries = changed.pop(name, None) or {}
            if kept := {entry: entries[entry] for entry in leading if entry in entries}:
                changed[name] = kept
        for name in () if "rounds" in changed else ROUND:
            changed.pop(name, None)
        return Cell(setting=setting, method=method, seed=seed, model=model, sections=changed | {"seed": seed})


class Cell(BaseModel, extra="forbid"):
    """One cell: a method in a setting with a seed, the training that is evaluated, and the parameters of all that leads
    to it.
    """

    setting: str
    method: str
    seed: int
    model: str
    sections: Sections

    @property
    def name(self) -> str:
        """What it is called in messages and in MLflow."""
        return f"{self.method}, {self.setting}, seed {self.seed}"

    @property
    def folder(self) -> Path:
        """Where its result lies, relative to the experiment's directory."""
        return Path(*(part.replace("/", "_") for part in (self.setting, self.method, f"seed-{self.seed}")))

    @property
    def declared(self) -> Trainings:
        """What leads to its model."""
        return declared(self.model, self.sections, self.name)

    @property
    def trainings(self) -> list[str]:
        """The trainings that lead to its model, in their order."""
        return self.declared.up_to(self.model)

    @property
    def rounds(self) -> list[str]:
        """Those of them that are rounds."""
        return list(self.sections.get("rounds", {}))

    def budget(self) -> int:
        """The image passes of all training. Raises ValueError where they are not said, or rounds could be skipped."""
        train, passes = self.sections.get("train") or {}, 0
        for training in self.trainings:
            in_round = training in self.rounds
            section = train if in_round else self.sections["fits"][training]
            of_training = (section.get("optimisation") or {}).get("image_passes")
            if of_training is None:
                where = "train" if in_round else label("fit", training)
                raise ValueError(f"{self.name}: say image_passes in the optimisation of {where}")
            passes += of_training
        if len(self.rounds) > 1 and train.get("patience", 1) < len(self.rounds):
            raise ValueError(f"{self.name}: set train.patience to {len(self.rounds)}, or rounds are skipped")
        return passes

    def check(self, rules: list[str]) -> None:
        """Raise DataError if a stage would refuse its parameters, or a rule asks a classifier that is not trained."""
        of_edges = [stage for stage in EDGE_STAGES if stage in self.sections]
        for stage in (*ALWAYS, *(ROUND if self.rounds else ()), *of_edges):
            self.params(stage)
        for stage, section in NAMED.items():
            for name in self.sections.get(section, {}):
                checked = self.params(stage, name)
                if stage != "fit":
                    continue
                if self.declared.on_features(stage, name):
                    checked.check_stored()
                check_colours(checked.method, self.params("ingest").colours, f"{self.name}: ")
        method = self.trained_by()
        if not self.trains_classifier and any(rule_class(key).needs_logits for key in rules):
            what = "nothing is trained" if method is None else f"{method.kind} trains no classifier"
            raise DataError(f"{self.name}: {what}, so it cannot be classified by {rules}")

    @property
    def trains_classifier(self) -> bool:
        """Whether the training of its model leaves a classifier."""
        method = self.trained_by()
        return method is not None and _trains_classifier(method)

    @property
    def own_rule(self) -> str:
        """The rule of the method that its model was trained by; of what `start` made, the nearest neighbours'."""
        method = self.trained_by()
        return entry_of(method.kind).rule if method else "cluster_wise"

    def trained_by(self) -> "MethodParams | None":
        """The parameters of the method that its model was trained by; None where nothing was trained."""
        if not self.trainings:
            return None
        method: MethodParams = self.training_params(self.model).method
        return method

    def training_params(self, training: str) -> Any:
        """The parameters of one of its trainings, a round or not. Raises DataError."""
        return self.params("train") if training in self.rounds else self.params("fit", training)

    def params(self, stage: str, training: str | None = None) -> Any:
        """The parameters of a stage, of `fit` those of a training: its section after the shared values. Raises
        DataError.
        """
        model = params_model(importlib.import_module(f"longtail.stages.{stage}").run)
        section = stage_section(self.sections, stage, model, self.name, training)
        return check_section(label(stage, training), section, model, self.name)


def declared(model: str, sections: Sections, source: str) -> Trainings:
    """The trainings of the sections. Raises DataError as for a params.yaml that evaluates the model."""
    return declared_trainings(sections | {"evaluate": {"models": [model]}}, source)


def _trains_classifier(method: "MethodParams") -> bool:
    built = get_type_hints(type(method).build)["return"]  # the class, without the data that it is built from
    return bool(built.trains_classifier)


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
    values = _declared(file)
    try:
        return Matrix.model_validate(values)
    except ValidationError as error:
        known = [*Matrix.model_fields, *Method.model_fields]
        raise DataError(f"{file}: {'; '.join(wrong_values(error, values, known=known))}") from error
    except DataError as error:
        raise DataError(f"{file}: {error}") from error


def _declared(file: Path, after: tuple[Path, ...] = ()) -> Any:
    """What a YAML says, with what it takes of other experiments; `after`: the files whose reading led to this one."""
    if file in after:
        raise DataError(f"the experiment {file} takes from itself; leave one `extends` or `methods` out")
    values = read_yaml(file)
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
