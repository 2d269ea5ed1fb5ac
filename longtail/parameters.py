"""params.yaml: one section a stage, and shared values that are the default of every stage that has them."""

import difflib
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from longtail.errors import DataError
from longtail.stages import STAGES

SHARED = ("seed", "cluster_size", "network", "search")
# Read by dvc.yaml alone: where the data lies, the chain of rounds, the classifiers without rounds, and which model is
# evaluated.
PIPELINE = ("data", "rounds", "classifiers", "evaluated")
START = "r0"  # how dvc.yaml calls the model of `start`
# Read by `python -m pipelines` alone, where it is given: what the steps ask of a cluster.
CLUSTER = "kubernetes"


def read_parameters(file: Path) -> dict[str, Any]:
    """All of params.yaml. Raises DataError if it is not a mapping, or has a key that nothing reads."""
    try:
        values = yaml.safe_load(file.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        # YAML's own message is laid out over several lines.
        raise DataError(f"cannot read the parameters in {file}: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise DataError(f"{file} holds no parameters; it needs sections such as {', '.join(STAGES)}")
    known = [*STAGES, *SHARED, *PIPELINE, CLUSTER]
    for name in values:
        if name not in known:
            raise DataError(f"{file}: {name!r} is not a parameter{_nearest(str(name), known)}")
    if "evaluated" in values:
        last_model(values, file)
    return values


def last_model(values: dict[str, Any], file: Path) -> str:
    """The model that the pipeline ends with: of the last round, or of the classifier. Raises DataError if params.yaml
    describes no pipeline, or two, or evaluates another model (which may lie about from before).
    """
    rounds, classifiers = values.get("rounds") or {}, values.get("classifiers") or []
    if not isinstance(rounds, dict) or not isinstance(classifiers, list):
        raise DataError(f"{file}: `rounds` must be a mapping and `classifiers` a list")
    if bool(rounds) == bool(classifiers) or len(classifiers) > 1:
        raise DataError(
            f"{file} has the rounds {list(rounds)} and the classifiers {classifiers}; a pipeline has either rounds, "
            "such as `rounds: {r1: {after: r0}}`, or one classifier, as `classifiers: [crl]`"
        )
    last = str([*rounds, *classifiers][-1])
    if last == START:
        raise DataError(f"{file}: {START} is the model of `start`; give the classifier another name")
    if values.get("evaluated") != last:
        raise DataError(f"{file}: the pipeline evaluates what comes last; set `evaluated: {last}`")
    return last


def stage_parameters(file: Path, stage: str, model: type[BaseModel]) -> Any:
    """The parameters of one stage. Raises DataError naming each wrong one, with the nearest valid name."""
    return check_section(stage, stage_section(file, stage, model), model, str(file))


def stage_section(file: Path, stage: str, model: type[BaseModel]) -> dict[str, Any]:
    """The values of one stage's section, after the shared ones that it has a field for. Raises DataError."""
    values = read_parameters(file)
    shared = {name: values[name] for name in SHARED if name in values and name in model.model_fields}
    section = values.get(stage) or {}
    if not isinstance(section, dict):
        raise DataError(f"{file}: {stage} must hold parameters by name, and is {section!r}")
    return {**shared, **section}


def check_section(stage: str, section: dict[str, Any], model: type[BaseModel], source: str) -> Any:
    """The values as `model`. Raises DataError naming `source` and each wrong one, with the nearest valid name."""
    try:
        return model.model_validate(section)
    except ValidationError as error:
        problems = [_problem(stage, dict(found), model) for found in error.errors()]
        raise DataError(f"{source}: " + "; ".join(problems)) from error


def _problem(stage: str, found: dict[str, Any], model: type[BaseModel]) -> str:
    name = ".".join([stage, *map(str, found["loc"])])
    if found["type"] == "extra_forbidden":
        return f"{name} is not a parameter{_nearest(str(found['loc'][-1]), _fields(model.model_json_schema()))}"
    return f"{name}: {found['msg']}"


def _fields(schema: Any) -> list[str]:
    """Every property name in a JSON schema and its definitions."""
    definitions = [schema, *schema.get("$defs", {}).values()]
    return [name for definition in definitions for name in definition.get("properties", {})]


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(sorted(set(known)))}"
