"""Which trainings params.yaml declares, what each follows and is trained on, which models are evaluated: the one reader
of `after` and `on`.
"""

import re
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from longtail.errors import DataError

START = "start"  # what the first training follows
DATASET = "dataset"  # what a training is on by default
# Names of other artifacts, beside which each model lies.
TAKEN = (START, DATASET, "split", "index", "report", "local", "experiments")


@dataclass(frozen=True)
class Trainings:
    """`after`: what each training follows, every one behind those before it; `on`: what it is trained on, the data set
    or stored features; `features`: whose backbone makes each of these. `fits` and `rounds`: their names in that order.
    `models`: those evaluated, of which the first leads, each with its difference to `baseline`.
    """

    after: dict[str, str]
    on: dict[str, str]
    features: dict[str, str]
    fits: list[str]
    rounds: list[str]
    models: list[str]
    baseline: str

    def on_features(self, stage: str, name: str | None) -> bool:
        """Whether a training of `fits`, or for the stage `train` any round, is on stored features."""
        trained = [name] if stage == "fit" else self.rounds
        return any(self.on[one] != DATASET for one in trained if one)

    def up_to(self, model: str) -> list[str]:
        """The trainings that lead to a model, in their order, itself included; none lead to `start`."""
        found: list[str] = []
        while model != START:
            found.insert(0, model)
            model = self.after[model]
        return found


def declared_trainings(values: dict[str, Any], source: str) -> Trainings:
    """The trainings of all parameters. Raises DataError, naming the `source`, for whatever is wrong with one."""
    fits, rounds, features = (_section(values, name, source) for name in ("fits", "rounds", "features"))
    for name in [*fits, *rounds, *features]:
        _check_name(name, source)
    for one, other in combinations({"fits": fits, "rounds": rounds, "features": features}.items(), 2):
        if twice := sorted(set(one[1]) & set(other[1])):
            raise DataError(
                f"{source}: {twice[0]} stands in `{one[0]}` and in `{other[0]}`; give one of them another name"
            )
    for name, entry in {**fits, **rounds}.items():
        if any(key is True for key in list[object](entry)):
            raise DataError(
                f"{source}: {name} has a key `true`, which libraries of YAML 1.1 make of `on`: write `on`, and use one "
                "of YAML 1.2, as ruamel.yaml"
            )
    for name, entry in rounds.items():
        if more := sorted(set(entry) - {"after", "on"}, key=str):
            raise DataError(f"{source}: rounds.{name}.{more[0]}: all rounds are trained as the section `train` says")
    entries = {**fits, **rounds}
    after = {name: _after(name, entry, entries, source) for name, entry in entries.items()}
    made_by = {name: _after(name, entry, entries, source) for name, entry in features.items()}
    on = {name: _on(name, entry, features, source) for name, entry in entries.items()}
    order = _in_order({name: {after[name], made_by.get(on[name], START)} for name in entries}, source)
    models, baseline = _evaluated(values.get("evaluate") or {}, order, source)
    return Trainings(
        {name: after[name] for name in order},
        {name: on[name] for name in order},
        made_by,
        [name for name in order if name in fits],
        [name for name in order if name in rounds],
        models,
        baseline,
    )


def check_said(values: dict[str, Any], source: str) -> None:
    """Raise DataError if a training leaves out what dvc.yaml has no default for: what it is trained on and, of `fits`,
    by which method; or if there are more rounds than their schedule of the learning rate has.
    """
    for section in ("fits", "rounds"):
        for name, entry in _section(values, section, source).items():
            if "on" not in entry:
                raise DataError(
                    f"{source}: {section}.{name} does not say what it is trained on: give it `on: {DATASET}`"
                )
            method = entry.get("method")
            if section == "fits" and not (isinstance(method, dict) and "kind" in method):
                raise DataError(
                    f"{source}: {section}.{name} does not say its method: give it `method: {{kind: softmax}}`"
                )
    for last, number, schedule in _ends(values, source):
        if number > schedule:
            raise DataError(f"{source}: {_not_as_many(last, number, schedule)}")


def schedule_warnings(values: dict[str, Any], source: str) -> list[str]:
    """Where rounds end before their schedule of the learning rate does."""
    return [f"{source}: {_not_as_many(*end)}" for end in _ends(values, source) if end[1] < end[2]]


def _not_as_many(last: str, number: int, schedule: int) -> str:
    return (
        f"{last} is round {number}, and train.schedule_rounds ends the schedule of the learning rate with round "
        f"{schedule}; give it the number of rounds, or 1 for a schedule in each"
    )


def _ends(values: dict[str, Any], source: str) -> list[tuple[str, int, int]]:
    """The rounds that no round follows, the number of each, and over how many one schedule goes, if over several."""
    train = values.get("train")
    schedule = train.get("schedule_rounds", 1) if isinstance(train, dict) else 1
    if not isinstance(schedule, int) or schedule < 2:
        return []
    declared = declared_trainings(values, source)
    followed = {declared.after[name] for name in declared.rounds}
    lasts = [name for name in declared.rounds if name not in followed]
    return [(last, sum(name in declared.rounds for name in declared.up_to(last)), schedule) for last in lasts]


def _section(values: dict[str, Any], name: str, source: str) -> dict[Any, dict[str, Any]]:
    section = values.get(name) or {}
    if not isinstance(section, dict) or not all(isinstance(entry, dict) for entry in section.values()):
        raise DataError(
            f"{source}: `{name}` must name trainings, each with what it follows: {name}: {{a: {{after: start}}}}"
        )
    return section


def _check_name(name: Any, source: str) -> None:
    if not isinstance(name, str):
        raise DataError(f"{source}: a training is called {name!r}, which is no text; write it in quotes: '{name}'")
    if not re.fullmatch(r"[A-Za-z0-9_]+", name):
        raise DataError(f"{source}: a training is called {name!r}; a name has letters, digits and _ alone")
    if name in TAKEN:
        raise DataError(f"{source}: a training is called {name}, as another artifact is; give it another name")


def _after(name: str, entry: dict[str, Any], entries: dict[str, Any], source: str) -> str:
    if "after" not in entry:
        raise DataError(f"{source}: {name} does not say what it follows; give it `after: {START}`, or another training")
    before = entry["after"]
    if not isinstance(before, str):
        raise DataError(f"{source}: {name} follows {before!r}, which is no text; write it in quotes: '{before}'")
    if before != START and before not in entries:
        known = ", ".join([START, *(other for other in entries if other != name)])
        raise DataError(f"{source}: {name} follows {before!r}, and there is no such training; there are {known}")
    return before


def _on(name: str, entry: dict[str, Any], features: dict[str, dict[str, Any]], source: str) -> str:
    on = entry.get("on", DATASET)
    if not isinstance(on, str) or on not in (DATASET, *features):
        known = ", ".join([DATASET, *features])
        raise DataError(f"{source}: {name} is on {on!r}, and there is no such entry of `features`; there are {known}")
    return on


def _in_order(needs: dict[str, set[str]], source: str) -> list[str]:
    """Every training behind those that it needs; else as they were declared."""
    order: list[str] = []
    while len(order) < len(needs):
        ready = [name for name, before in needs.items() if name not in order and before <= {START, *order}]
        if not ready:
            circle = ", ".join(name for name in needs if name not in order)
            raise DataError(f"{source}: {circle} follow each other in a circle; let one of them follow {START}")
        order.append(ready[0])
    return order


def _evaluated(section: Any, trainings: list[str], source: str) -> tuple[list[str], str]:
    section = section if isinstance(section, dict) else {}
    models = section.get("models")
    known = [START, *trainings]
    if not isinstance(models, list) or not models:
        raise DataError(f"{source}: evaluate.models names no model; name one or more of {', '.join(known)}")
    for model in models:
        if model not in known:
            raise DataError(f"{source}: evaluate.models names {model!r}; the models are {', '.join(known)}")
    if len(set(models)) < len(models):
        raise DataError(f"{source}: evaluate.models names a model twice: {models}")
    baseline = section.get("baseline") or models[0]
    if baseline not in models:
        raise DataError(f"{source}: evaluate.baseline is {baseline!r}, which is none of evaluate.models: {models}")
    return models, baseline
