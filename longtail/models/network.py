"""The network of all methods: one backbone, and for each task an embedding and a classifier on top of it."""

import torch.nn.functional as F
from pydantic import BaseModel, Field
from torch import Tensor, nn

from longtail.data.dataset import Task
from longtail.models.backbones import Backbone, build_backbone


class NetworkParams(BaseModel, extra="forbid"):
    """The `network` section of params.yaml."""

    backbone: Backbone = "small_cnn"
    embedding: int = Field(64, ge=2, description="length of the embedding")


class Network(nn.Module):
    """Images to one L2-normalised embedding a task, and to class scores (logits) for the softmax methods."""

    def __init__(
        self, params: NetworkParams, tasks: list[Task], image_shape: tuple[int, int, int], *, pretrained: bool = False
    ) -> None:
        super().__init__()
        self.tasks = tasks
        self.backbone, features = build_backbone(params.backbone, image_shape, pretrained=pretrained)
        self.embeddings = nn.ModuleList(nn.Linear(features, params.embedding) for _ in tasks)
        self.classifiers = nn.ModuleList(nn.Linear(params.embedding, len(task.classes)) for task in tasks)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """float N×C×H×W to the embeddings before normalisation, N×d for each task."""
        features = self.backbone(images)
        return {task.name: head(features) for task, head in zip(self.tasks, self.embeddings, strict=True)}

    def embed(self, images: Tensor) -> dict[str, Tensor]:
        """float N×C×H×W to f(x), N×d on the unit sphere for each task."""
        return {name: F.normalize(raw, dim=1) for name, raw in self(images).items()}

    def logits(self, images: Tensor) -> dict[str, Tensor]:
        """float N×C×H×W to N×K class scores for each task."""
        raw = self(images).values()
        return {t.name: head(F.relu(r)) for t, head, r in zip(self.tasks, self.classifiers, raw, strict=True)}
