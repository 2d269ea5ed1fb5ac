"""A journalled classifier as an MLflow model, without loading it: the step that logs it has no torch."""

import logging
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from longtail.inference.columns import COLUMNS
from longtail.tracking.journal import Event
from longtail.tracking.registry import CARD

NAME = "model"

# MLflow takes at most 1000 metrics in one request.
BATCH = 1000


def log_pyfunc(client: Any, runs: list[str], folder: Path, event: Event) -> str:
    """Make `folder` (code, index, example.npy) a model of the first run, show it on the others, and return its id.

    mlflow.pyfunc.log_model would run the model on its example; saving it here and uploading it does not.
    """
    from mlflow.entities import LoggedModelOutput

    model = _found(client, runs[0]) or _uploaded(client, runs[0], folder, event)
    for run_id in runs:
        outputs = client.get_run(run_id).outputs
        if model not in [output.model_id for output in (outputs.model_outputs if outputs else [])]:
            client.log_outputs(run_id, [LoggedModelOutput(model, step=0)])
    _show_metrics(client, runs[0], model, event["metrics"])
    return model


def _show_metrics(client: Any, run_id: str, model: str, names: list[str]) -> None:
    """Show metrics of the run, as it has them by now, on the model too."""
    from mlflow.entities import Metric

    run = client.get_run(run_id)
    latest = {one.key: one for one in run.data.to_proto().metrics}
    data = [one.dataset for one in run.inputs.dataset_inputs][:1]
    on = {"dataset_name": data[0].name, "dataset_digest": data[0].digest} if data else {}
    points = [
        Metric(one.key, one.value, one.timestamp, one.step, model_id=model, run_id=run_id, **on)
        for one in (latest[name] for name in names if name in latest)
    ]
    for start in range(0, len(points), BATCH):
        client.log_batch(run_id, metrics=points[start : start + BATCH])


def _found(client: Any, run_id: str) -> str | None:
    experiment = client.get_run(run_id).info.experiment_id
    complete = None
    for model in client.search_logged_models([experiment], f"source_run_id = '{run_id}' AND name = '{NAME}'"):
        if model.status == "READY":
            complete = str(model.model_id)
        else:  # an upload that was cut short
            client.delete_logged_model(model.model_id)
    return complete


def _uploaded(client: Any, run_id: str, folder: Path, event: Event) -> str:
    from mlflow.models import Model

    made = client.create_logged_model(client.get_run(run_id).info.experiment_id, NAME, run_id, model_type="classifier")
    with TemporaryDirectory() as directory:
        target = Path(directory) / NAME
        description = Model(made.artifact_location, run_id=run_id, model_uuid=made.model_id, model_id=made.model_id)
        _save(target, folder, event, description)
        client.log_model_artifacts(made.model_id, str(target))
    client.finalize_logged_model(made.model_id, "READY")
    return str(made.model_id)


def _save(target: Path, folder: Path, event: Event, description: Any) -> None:
    import mlflow.pyfunc

    # It reports each of its steps, and misses a pip that uv environments do not have.
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    package = next((folder / "code").iterdir())
    example = np.load(folder / "example.npy", allow_pickle=False)
    mlflow.pyfunc.save_model(
        target,
        python_model=str(package / "serving.py"),
        code_paths=[str(package)],
        artifacts={"index": str(folder / "index")},
        signature=_signature(event["classes"]),
        input_example=example,
        pip_requirements=event["requirements"],
        mlflow_model=description,
    )
    if (folder / CARD).is_file():
        shutil.copy(folder / CARD, target / CARD)


def _signature(classes: dict[str, int]) -> Any:
    """What the model gives, and its parameter. Images come in so many guises that no schema of MLflow's has them."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec

    outputs: list[ColSpec | TensorSpec] = []
    for task, count in classes.items():
        for name, (kind, of_classes) in COLUMNS.items():
            outputs.append(TensorSpec(np.dtype(kind), (-1, count) if of_classes else (-1,), f"{task}{name}"))
    params = ParamSchema([ParamSpec("refuse", DataType.boolean, False)])
    return ModelSignature(outputs=Schema(outputs), params=params)
