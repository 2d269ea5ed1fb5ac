"""The network of all methods: one backbone, and for each task an embedding and a classifier on top of it."""

from collections.abc import Callable
from typing import Annotated, Any

import torch.nn.functional as F
from pydantic import AfterValidator, BaseModel, Field
from torch import Tensor, nn

from longtail.data.dataset import Task
from longtail.network.backbones import build_backbone, check_name

Head = Callable[[int, int], nn.Module]


class NetworkParams(BaseModel, extra="forbid"):
    """The `network` section of params.yaml."""

    backbone: Annotated[str, AfterValidator(check_name)] = "small_cnn"
    embedding: int = Field(64, ge=2, description="length of the embedding")
    shared_embedding: bool = Field(False, description="one embedding for all tasks, and not one each")


class Network(nn.Module):
    """Images to one L2-normalised embedding a task, and to class scores (logits) for the softmax methods."""

    def __init__(
        self,
        params: NetworkParams,
        tasks: list[Task],
        image_shape: tuple[int, int, int],
        *,
        head: Head = nn.Linear,
    ) -> None:
        """`head`: of the length of an embedding and the number of classes makes a task's classifier."""
        super().__init__()
        self.tasks = tasks
        self.backbone, features = build_backbone(params.backbone, image_shape)
        embeddings = 1 if params.shared_embedding else len(tasks)
        self.embeddings = nn.ModuleList(nn.Linear(features, params.embedding) for _ in range(embeddings))
        self.classifiers = nn.ModuleList(head(params.embedding, len(task.classes)) for task in tasks)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """float N×C×H×W to the embeddings before normalisation, N×d for each task, none of them negative.

        The classifier and the distances see the same numbers: with the ReLU in the classifier alone, neighbours were
        searched among components that it never looks at (docs/trials.md).
        """
        features = self.backbone(images)
        raw = [F.relu(head(features)) for head in self.embeddings]
        shared = len(self.tasks) // len(raw)
        return {task.name: of_task for task, of_task in zip(self.tasks, raw * shared, strict=True)}

    def embed(self, images: Tensor) -> dict[str, Tensor]:
        """float N×C×H×W to f(x), N×d on the unit sphere for each task."""
        return {name: F.normalize(raw, dim=1) for name, raw in self(images).items()}

    def logits(self, images: Tensor) -> dict[str, Tensor]:
        """float N×C×H×W to N×K class scores for each task."""
        return self._classify(self(images))

    def features_and_logits(self, images: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """float N×C×H×W to what the classifiers see, N×d for each task, and to N×K class scores, in one pass."""
        raw = self(images)
        return raw, self._classify(raw)

    def embed_and_classify(self, images: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """`embed` and `logits` in one pass."""
        raw = self(images)
        return {name: F.normalize(values, dim=1) for name, values in raw.items()}, self._classify(raw)

    def _classify(self, raw: dict[str, Tensor]) -> dict[str, Tensor]:
        return {
            task.name: classifier(raw[task.name]) for task, classifier in zip(self.tasks, self.classifiers, strict=True)
        }


def without_decay(parameter: nn.Parameter) -> None:
    """Mark a parameter as one that weight decay leaves alone."""
    parameter.without_decay = True  # type: ignore[attr-defined]


def parameter_groups(module: nn.Module, decay: float) -> list[dict[str, Any]]:
    """The parameters that are trained, for an optimiser: with weight decay, and those marked to be without."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    spared = [parameter for parameter in trained if getattr(parameter, "without_decay", False)]
    decayed = [parameter for parameter in trained if not getattr(parameter, "without_decay", False)]
    groups = [{"params": decayed, "weight_decay": decay}, {"params": spared, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]
