"""`longtail register`: an index as a model of MLflow's, where no `evaluate` does it."""

from pathlib import Path

import numpy as np

from longtail import tracking
from longtail.artifacts.digests import check_artifact
from longtail.artifacts.lineage import Lineage
from longtail.errors import DataError
from longtail.network.snapshot import State, read_blueprint
from longtail.tracking.naming import check_model_name, registered
from longtail.tracking.settings import Settings

STEP = "register"


def register(index: Path, name: str | None = None) -> str:
    """Log the model of an index directory, and register it, as the challenger, under the name or that of its data; a
    sentence.

    Raises DataError if it is no index, the name none of a model, tracking is off, or MLflow does not take it.
    """
    if (settings := Settings.from_environment()) is None:
        raise DataError("tracking is off, so there is no MLflow to register a model with; unset LONGTAIL_TRACKING")
    blueprint, rule = read_blueprint(index / "snapshot"), State.read(index).rule
    check_artifact(index)
    lineage = Lineage.read(index)
    config, params = lineage.parameters(), {"index": str(index), "rule": rule}
    if name is not None:
        try:
            config["evaluate"] = {"registered_model": check_model_name(name)}
        except ValueError as error:
            raise DataError(f"--name: {error}") from error
    with tracking.stage_run(STEP, STEP, params=params, config=config, dataset=lineage.dataset, last=True) as run:
        example = np.zeros((1, *blueprint.image_shape), np.uint8)
        tracking.log_model(index, tasks=blueprint.tasks, example=example, parent=True)
    known = registered(config, lineage.dataset)
    if settings.later:
        return f"{index} waits to be registered as {known}; `longtail sync` does so"
    if run is None or not run.delivered:
        raise DataError(
            f"{index} is not registered as {known} yet, for MLflow has not taken it; `longtail sync` does so"
        )
    return f"{index} is the newest version of {known}; `longtail promote --insist` takes it"
