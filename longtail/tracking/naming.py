"""What a pipeline is called in MLflow: by the method that leads its report, and by its data."""

import re
from pathlib import Path
from typing import Any

from longtail.tracking.identity import valid_key

METHOD, DATA = "longtail.method", "longtail.data"
# What MLflow finds again in its filters and its addresses, models:/NAME@ALIAS.
MODEL_NAME = re.compile(r"\w[\w.-]{0,199}")


def check_model_name(name: str) -> str:
    """The name of a registered model. Raises ValueError if MLflow would not find such a one."""
    if not MODEL_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a registered model; give letters, digits, dots, - and _, 200 at most")
    return name


def names(config: dict[str, Any]) -> dict[str, str]:
    """The tags of method and data, as far as these parameters of a pipeline tell them."""
    found = {METHOD: _method(config), DATA: _data(config)}
    return {tag: value for tag, value in found.items() if value}


def title(config: dict[str, Any]) -> str | None:
    """What the pipeline's run is called; None where the parameters of a cluster's first steps tell only one of both."""
    known = names(config)
    return f"{known[METHOD]} on {known[DATA]}" if len(known) == 2 else None


def registered(config: dict[str, Any], dataset: str | None) -> str:
    """What the models of a data set are registered under, unless the parameters say it."""
    if named := _section(config, "evaluate").get("registered_model"):
        return str(named)
    return "longtail-" + valid_key(_data(config) or (dataset or "data")[:8]).replace("/", "_")


def _method(config: dict[str, Any]) -> str | None:
    models = _section(config, "evaluate").get("models")
    lead = models[0] if isinstance(models, list) and models else None
    training = _section(config, "fits").get(lead, _section(config, "train")) if lead else {}
    return str(training["method"]["kind"]) if "kind" in _section(training, "method") else None


def _data(config: dict[str, Any]) -> str | None:
    source = _section(_section(config, "ingest"), "source")
    named = source.get("name") or source.get("table") or source.get("path") or source.get("kind")
    return Path(str(named)).stem[:60] or None if named else None


def _section(values: Any, name: str) -> dict[str, Any]:
    found = values.get(name) if isinstance(values, dict) else None
    return found if isinstance(found, dict) else {}
