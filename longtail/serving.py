"""The classifier as MLflow serves it: the network, and the rule by which it is reported, behind one `predict`.

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
        """Load the network and the rule from the model's own files."""
        from pathlib import Path

        from longtail.network.embedder import load_embedder
        from longtail.network.snapshot import State
        from longtail.rules.base import rule_class

        index = Path(context.artifacts["index"])
        self.embedder = load_embedder(index / "snapshot")
        rule = rule_class(State.read(index).rule)
        self.rules = {task.name: rule.load(index / "rules", task.name) for task in self.embedder.tasks}

    # MLflow takes a hint for the images as their schema, except this one; the model's signature says what they are.
    def predict(self, context: Any, model_input: np.ndarray, params: Any = None) -> dict[str, npt.NDArray[Any]]:
        """For every task "<task>": class names (N,), and "<task>.scores": float32 (N, classes), from uint8 N×H×W×C.

        The scores are those of the rule by which the model is reported: for the head its logits.
        """
        images = np.asarray(model_input, np.uint8)
        embeddings = self.embedder(images)
        asks_head = any(rule.needs_logits for rule in self.rules.values())
        logits = self.embedder.logits(images) if asks_head else {}
        answers: dict[str, npt.NDArray[Any]] = {}
        for task in self.embedder.tasks:
            codes, scores = self.rules[task.name].predict(embeddings[task.name], logits.get(task.name))
            answers[task.name] = np.array(task.classes)[codes]
            answers[f"{task.name}.scores"] = scores
        return answers


set_model(Classifier())
