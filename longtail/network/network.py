"""The network of all methods: one backbone, and for each task an embedding and a classifier on top of it."""

from collections.abc import Callable
from itertools import pairwise
from typing import Annotated, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import AfterValidator, BaseModel, Field, model_validator
from torch import Tensor, nn

from longtail.artifacts.weights import digest
from longtail.data.dataset import Task
from longtail.network.backbones import build_backbone, check_name
from longtail.network.pooling.build import build_pooling
from longtail.network.pooling.params import AVERAGE, PoolingParams

Length = Annotated[int, Field(ge=1)]
Head = Callable[[int, int], nn.Module]


class NetworkParams(BaseModel, extra="forbid"):
    """The `network` section of params.yaml."""

    backbone: Annotated[str, AfterValidator(check_name)] = Field(
        "small_cnn",
        description="small_cnn, resnet32, resnet18, resnet50, resnet152, deep_contour, or timm/ and a name of timm's",
    )
    pooling: PoolingParams = Field(
        AVERAGE, exclude_if=lambda pooling: pooling == AVERAGE, description="from the backbone's map to its features"
    )
    embedding: int | None = Field(
        64,
        ge=2,
        le=65536,
        description="length of the embedding; null: the backbone's features are it, under linear classifiers",
    )
    shared_embedding: bool = Field(False, description="one embedding for all tasks, and not one each")
    relu: bool | Literal["classifier"] = Field(
        True,
        description="the embedding is what a ReLU leaves of it; false: what comes before; classifier: likewise, but "
        "the classifiers see what a ReLU leaves of it",
    )
    hidden: list[Length] = Field(
        [], description="lengths of layers between the backbone and an embedding, each followed by a ReLU"
    )
    task_layers: list[Length] = Field(
        [], description="lengths of layers of each task between its embedding and classifier, each followed by a ReLU"
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="of the backbone's features, behind a ReLU")
    initialisation: Literal["torch", "he"] = Field(
        "torch", description="of the weights of linear layers on top of the backbone; he: He et al., ICCV 2015"
    )

    @model_validator(mode="after")
    def _relu_of_an_embedding(self) -> Self:
        if self.embedding is None and self.relu is not True:
            raise ValueError("without an embedding there is no ReLU of it: leave `network.relu` out")
        if self.embedding is None and (self.hidden or self.dropout):
            raise ValueError("`network.hidden` and `network.dropout` lead to an embedding: give `embedding` a length")
        return self


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
        self.tasks, self.relu = tasks, params.relu
        self.takes_maps = params.pooling != AVERAGE
        self.backbone, channels = build_backbone(params.backbone, image_shape, maps=self.takes_maps)
        self.pooling, self.features = build_pooling(params.pooling, channels)
        embeddings = 0 if params.embedding is None else 1 if params.shared_embedding else len(tasks)
        self.embeddings = nn.ModuleList(_embedding(self.features, params) for _ in range(embeddings))
        self.length = params.embedding or self.features
        self.branches = nn.ModuleList(_layers([self.length, *params.task_layers]) for _ in tasks if params.task_layers)
        seen = params.task_layers[-1] if params.task_layers else self.length
        self.classifiers = nn.ModuleList(head(seen, len(task.classes)) for task in tasks)
        if params.initialisation == "he":
            for layers in (self.embeddings, self.branches, self.classifiers):
                layers.apply(_initialise_by_he)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """float N×C×H×W to the embeddings before normalisation, N×d for each task; none of them is negative, unless
        they are the backbone's features or come before the ReLU. What the backbone has made of images before, N×F or
        maps N×P×C, is taken in their place; so in all that follows.

        The classifier and the distances see the same numbers: with a ReLU in the classifier alone, neighbours were
        searched among components that it never looks at (docs/trials.md).
        """
        return self._of_tasks(self._raw(images))

    def _raw(self, images: Tensor) -> list[Tensor]:
        """The embeddings before normalisation, of each task or one of all."""
        features = self.pooled(images)
        raw = [head(features) for head in self.embeddings]
        raw = [F.relu(of_head) for of_head in raw] if self.relu is True else raw
        return raw or [features]

    def _of_tasks(self, embeddings: list[Tensor]) -> dict[str, Tensor]:
        shared = len(self.tasks) // len(embeddings)
        return {task.name: of_task for task, of_task in zip(self.tasks, embeddings * shared, strict=True)}

    def pooled(self, images: Tensor) -> Tensor:
        """float N×C×H×W to the backbone's features, pooled, N×F."""
        features: Tensor = self.pooling(self.backbone(images) if is_images(images) else images)
        return features

    def embed(self, images: Tensor) -> dict[str, Tensor]:
        """float N×C×H×W to f(x), N×d on the unit sphere for each task, in float32 under autocast too."""
        return self._of_tasks([on_sphere(one) for one in self._raw(images)])

    def logits(self, images: Tensor) -> dict[str, Tensor]:
        """float N×C×H×W to N×K class scores for each task."""
        return self._classify(self._seen(self(images)))

    def features_and_logits(self, images: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """float N×C×H×W to what the classifiers see, N×d for each task, and to N×K class scores, in one pass."""
        seen = self._seen(self(images))
        return seen, self._classify(seen)

    def embed_and_classify(self, images: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """`embed` and `logits` in one pass."""
        raw = self._raw(images)
        normalised = [on_sphere(one) for one in raw]
        return self._of_tasks(normalised), self._classify(self._seen(self._of_tasks(raw)))

    def _seen(self, raw: dict[str, Tensor]) -> dict[str, Tensor]:
        """What the classifiers see: the embeddings, or what a ReLU and the layers of each task make of them."""
        if self.relu == "classifier":
            raw = {task: F.relu(of_task) for task, of_task in raw.items()}
        if not self.branches:
            return raw
        return {task.name: branch(raw[task.name]) for task, branch in zip(self.tasks, self.branches, strict=True)}

    def _classify(self, seen: dict[str, Tensor]) -> dict[str, Tensor]:
        return {
            task.name: classifier(seen[task.name])
            for task, classifier in zip(self.tasks, self.classifiers, strict=True)
        }


def on_sphere(embeddings: Tensor) -> Tensor:
    """Embeddings (n, d) divided by their lengths, in float32 at least: bfloat16 leaves lengths of 0.996 to 1.004."""
    return F.normalize(embeddings.to(torch.promote_types(embeddings.dtype, torch.float32)), dim=1)


def is_images(inputs: Tensor) -> bool:
    """Whether these are images, and not what a backbone has made of them: N×F, or maps N×P×C."""
    return inputs.ndim == 4


def _layers(lengths: list[int]) -> nn.Sequential:
    """Linear layers from each length to the next, each followed by a ReLU."""
    return nn.Sequential(*(part for pair in pairwise(lengths) for part in (nn.Linear(*pair), nn.ReLU())))


def _embedding(features: int, params: NetworkParams) -> nn.Module:
    """From the backbone's features to an embedding, before its ReLU."""
    before = [nn.ReLU(), nn.Dropout(params.dropout)] if params.dropout else []
    inner = _layers([features, *params.hidden])
    last = nn.Linear(params.hidden[-1] if params.hidden else features, params.embedding or 0)
    return nn.Sequential(*before, *inner, last) if before or params.hidden else last


def _initialise_by_he(module: nn.Module) -> None:
    """Biases stay as they are: some methods begin with classifiers whose biases say something."""
    if isinstance(module, nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")


def backbone_digest(network: Network) -> str:
    """By which the weights of a backbone are known."""
    return digest(dict(network.backbone.state_dict()))
