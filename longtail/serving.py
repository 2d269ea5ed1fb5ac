"""The classifier as MLflow serves it: network and head, or cluster-wise index and decision rule, behind one `predict`.

MLflow runs this file as it stands (a model from code, no pickle), with this package's sources beside it.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel


class Classifier(PythonModel):
    """`predict` maps a batch of images to classes and scores for every task."""

    def load_context(self, context: Any) -> None:
        """Load the network and the index from the model's own files."""
        import json
        from pathlib import Path

        from longtail.network.embedder import load_embedder
        from longtail.rules.knn import load_index

        self.embedder = load_embedder(Path(context.artifacts["model"]))
        self.index = load_index(Path(context.artifacts["index"]))
        self.judge = json.loads((Path(context.artifacts["index"]) / "judge.json").read_text())

    # MLflow takes a hint for the images as their schema, except this one; the model's signature says what they are.
    def predict(self, context: Any, model_input: np.ndarray, params: Any = None) -> dict[str, npt.NDArray[Any]]:
        """For every task "<task>": class names (N,), and "<task>.scores": float32 (N, classes), from uint8 N×H×W×C.

        The scores are those of the neighbours' decision rule or, where the head classifies, its logits.
        """
        images = np.asarray(model_input, np.uint8)
        found = self.embedder.logits(images) if self.judge == "head" else self.embedder(images)
        answers: dict[str, npt.NDArray[Any]] = {}
        for task in self.embedder.tasks:
            if self.judge == "head":
                codes, scores = found[task.name].argmax(1), found[task.name]
            else:
                codes, scores = self.index[task.name].predict(found[task.name])
            answers[task.name] = np.array(task.classes)[codes]
            answers[f"{task.name}.scores"] = scores
        return answers


set_model(Classifier())
