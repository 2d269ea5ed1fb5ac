"""A journalled data set as an input of MLflow's runs."""

import json
from typing import Any

from longtail.tracking.journal import Event


def dataset_input(event: Event, name: str) -> Any:
    """The data set as MLflow's entity, under that name."""
    import numpy as np
    from mlflow.data.schema import TensorDatasetSchema
    from mlflow.entities import Dataset, DatasetInput
    from mlflow.types import Schema, TensorSpec

    images = Schema([TensorSpec(np.dtype(np.uint8), (-1, *event["shape"]), "image")])
    labels = Schema([TensorSpec(np.dtype(str), (-1,), task) for task in event["tasks"]])
    schema = json.dumps(TensorDatasetSchema(images, labels).to_dict())
    profile = json.dumps(event["profile"], ensure_ascii=False)
    source = json.dumps(event["source"], ensure_ascii=False)
    return DatasetInput(Dataset(name, event["digest"], "packed dataset", source, schema, profile))
