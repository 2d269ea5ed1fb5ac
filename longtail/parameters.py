"""params.yaml: a section for each stage or training, and shared values, the defaults of fields of their name."""

import importlib
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from longtail.artifacts.yaml_file import read_yaml
from longtail.errors import DataError, Faults
from longtail.methods.catalogue import CATALOGUE, params_class
from longtail.methods.colours import check_colours
from longtail.stages import EDGE_STAGES, IN_ROUNDS, NAMED, PARALLEL, STAGES
from longtail.stages.contract import params_model
from longtail.training.declared import Trainings, declared_trainings
from longtail.wrong_values import nearest, wrong_values

SHARED = ("seed", "cluster_size", "network", "search")
# What the pipeline consists of: where the data lies, and its trainings.
PIPELINE = ("data", *NAMED.values(), "rounds")
# Read by `python -m pipelines` alone, where it is given: what the steps ask of a cluster.
CLUSTER = "kubernetes"
# Stands for null on the way through kfp, which converts texts, numbers, lists and mappings alone.
NULL = "null-of-the-parameters"


def read_parameters(file: Path) -> dict[str, Any]:
    """All of params.yaml. Raises DataError if it is not a mapping, has a key that nothing reads, or declares trainings
    that cannot be.
    """
    values = read_yaml(file)
    if not isinstance(values, dict):
        raise DataError(f"{file} holds no parameters; it needs sections such as {', '.join(STAGES)}")
    known = [*(stage for stage in (*STAGES, *EDGE_STAGES) if stage not in NAMED), *SHARED, *PIPELINE, CLUSTER]
    for name in values:
        if name not in known:
            raise DataError(f"{file}: {name!r} is not a parameter{nearest(str(name), known)}")
    # What a step knows of the steps before it has no `evaluate`, and does not say what follows what.
    if "evaluate" in values and ("fits" in values or "rounds" in values):
        declared_trainings(values, str(file))
    return values


def stage_parameters(file: Path, stage: str, model: type[BaseModel], training: str | None = None) -> Any:
    """The parameters of one stage, of `fit` those of a training. Raises DataError naming each wrong one, with the
    nearest valid name.
    """
    section = stage_section(read_parameters(file), stage, model, str(file), training)
    return check_section(label(stage, training), section, model, str(file))


def checked_sections(file: Path, stages: Iterable[str]) -> dict[tuple[str, str | None], dict[str, Any]]:
    """The sections, with the shared values, of those of the stages that run: by stage and None, of `fit` by the name of
    each training. They are as the stage understands them: what is a text to it, such as a class called 7, is one here,
    and no transport of numbers can change it. Raises DataError with everything that is wrong.
    """
    values, faults = read_parameters(file), Faults()
    trainings = declared_trainings(values, str(file))
    found: dict[tuple[str, str | None], dict[str, Any]] = {}
    for stage in stages:
        model = params_model(importlib.import_module(f"longtail.stages.{stage}").run)
        for name in _names(stage, trainings):
            with faults.collected():
                section = stage_section(values, stage, model, str(file), name)
                checked = check_section(label(stage, name), section, model, str(file))
                found[stage, name] = _understood(section, checked.model_dump(mode="json", exclude_unset=True))
                if stage in PARALLEL and trainings.on_features(stage, name):
                    checked.check_stored()
                ingested = values.get("ingest")
                if stage in PARALLEL and isinstance(ingested, dict):
                    check_colours(checked.method, ingested.get("colours"), f"{file}: {label(stage, name)}: ")
    faults.settle()
    return found


def _understood(given: Any, dumped: Any) -> Any:
    """The values as their model dumps them, with those that it leaves out as they were given: how many processes work
    at a step, for instance, is no part of what it makes.
    """
    if not (isinstance(given, dict) and isinstance(dumped, dict)):
        return dumped
    left_out = {name: value for name, value in given.items() if isinstance(name, str) and name not in dumped}
    return {name: _understood(given.get(name), value) for name, value in dumped.items()} | left_out


def _names(stage: str, trainings: Trainings) -> Iterable[str | None]:
    """The entries that a stage runs once each; None stands for one without a name."""
    if stage in NAMED:
        return trainings.fits if stage == "fit" else trainings.features
    return [None] if trainings.rounds or stage not in IN_ROUNDS else []


def label(stage: str, training: str | None) -> str:
    """Where the parameters of a stage stand."""
    return f"{NAMED[stage]}.{training}" if stage in NAMED else stage


def stage_section(
    values: dict[str, Any], stage: str, model: type[BaseModel], source: str, training: str | None = None
) -> dict[str, Any]:
    """The values of one stage's section, after the shared ones that it has a field for. Raises DataError."""
    shared = {name: values[name] for name in SHARED if name in values and name in model.model_fields}
    section = {} if values.get(stage) is None else values[stage]
    if stage in NAMED:
        entries = values.get(NAMED[stage]) or {}
        if training not in entries:
            raise DataError(
                f"{source}: there is no {training!r} in `{NAMED[stage]}`; there are {', '.join(entries) or 'none'}"
            )
        # What it follows, and is trained on, is for the pipeline to know.
        own = {key: value for key, value in entries[training].items() if key not in ("after", "on")}
        section = {"name": training, **own}
    if not isinstance(section, dict):
        raise DataError(f"{source}: {stage} must hold parameters by name, and is {section!r}")
    return {**shared, **section}


def check_section(section_name: str, section: Any, model: type[BaseModel], source: str) -> Any:
    """The values as `model`. Raises DataError naming `source` and each wrong one, with the nearest valid name."""
    if not isinstance(section, dict):
        raise DataError(f"{source}: {section_name} must hold parameters by name, and is {section!r}")
    try:
        checked = model.model_validate(section)
    except ValidationError as error:
        known = _fields(model.model_json_schema())
        method = section.get("method")
        if isinstance(method, dict) and method.get("kind") in CATALOGUE:
            known += _fields(params_class(method["kind"]).model_json_schema())
        wrong = wrong_values(error, section, inside=section_name, known=known)
        raise DataError(f"{source}: " + "; ".join(wrong)) from error
    if impossible := list(_impossible(checked.model_dump(), section_name)):
        raise DataError(f"{source}: " + "; ".join(impossible))
    return checked


def _impossible(value: Any, name: str) -> Iterator[str]:
    """What is wrong wherever it stands: numbers that are infinite or NaN, which YAML writes .inf and .nan, and texts
    with a NUL, which no file's name has.
    """
    if isinstance(value, dict | list | tuple):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _impossible(one, f"{name}.{key}")
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{name}: give a finite number"
    elif isinstance(value, str) and "\0" in value:
        yield f"{name} holds the character NUL; leave it out"


def _fields(schema: Any) -> list[str]:
    """Every property name in a JSON schema and its definitions."""
    definitions = [schema, *schema.get("$defs", {}).values()]
    return [name for definition in definitions for name in definition.get("properties", {})]


def marked(value: Any) -> Any:
    """The value with NULL in the place of each None within it."""
    return _replaced(value, None, NULL)


def unmarked(value: Any) -> Any:
    """What was marked, as it was."""
    return _replaced(value, NULL, None)


def _replaced(value: Any, old: str | None, new: str | None) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(one, old, new) for key, one in value.items()}
    if isinstance(value, list):
        return [_replaced(one, old, new) for one in value]
    return new if value == old else value
