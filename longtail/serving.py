"""The classifier as MLflow serves it: the network, and the rule by which it is reported, behind one `predict`.

MLflow runs this file as it stands (a model from code, no pickle), with this package's sources beside it.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel


class Classifier(PythonModel):
    """`predict` maps images, in files or as arrays, to classes and their probabilities for every task."""

    def load_context(self, context: Any) -> None:
        """Load the network and the rules from the model's own files."""
        from pathlib import Path

        from longtail.inference.answerer import Answerer

        self.answerer = Answerer.load(Path(context.artifacts["index"]))

    # MLflow takes a hint for the images as their schema, except this one, and checks nothing: what it refuses it prints
    # with all its pixels. A DataError it passes on as it is, while it puts the data before its own exceptions.
    def predict(self, context: Any, model_input: np.ndarray, params: Any = None) -> dict[str, npt.NDArray[Any]]:
        """For every task what `columns` names; `model_input` is what `longtail.inference.batches.batch` takes: a uint8
        array N×H×W×C, or a list, a Series or a column of files' bytes, base64, paths or arrays of any size. Of `params`
        `refuse` gives no class, an empty text, to images unlike anything that was trained on.

        Raises DataError for anything else, and quotes no pixels.
        """
        from longtail.inference.batches import batch
        from longtail.inference.columns import columns

        images = batch(model_input, self.answerer.embedder.blueprint)
        refuse = bool((params or {}).get("refuse"))
        answers: dict[str, npt.NDArray[Any]] = {}
        for name, of_task in self.answerer.answer(images).items():
            answers |= columns(self.answerer.tasks[name].task, of_task, refuse=refuse)
        return answers


set_model(Classifier())
