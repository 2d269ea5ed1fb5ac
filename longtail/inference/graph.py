"""The rules as torch modules, so that a graph holds the whole way from uint8 images to classes and probabilities.

Each is the same function as the rule's own numpy code; the neighbours are searched by a product of matrices instead of
FAISS, so that of two that are equally near another may come first.
"""

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from longtail.data.transforms import to_float
from longtail.errors import DataError
from longtail.inference.answerer import Answerer
from longtail.network.network import on_sphere
from longtail.rules.base import Rule
from longtail.rules.class_mean import ClassMean
from longtail.rules.cluster_wise import ClusterWise
from longtail.rules.head import Head
from longtail.rules.head_adjusted import HeadAdjusted
from longtail.rules.head_and_knn import HeadAndKNN
from longtail.rules.head_tau_normalised import HeadTauNormalised
from longtail.rules.head_thresholds import HeadThresholds
from longtail.rules.knn import ABSENT, ALONE, NearestNeighbours
from longtail.rules.large_margin import LargeMargin
from longtail.rules.sample_wise import SampleWise
from longtail.rules.soft_voting import SoftVoting


class Scores(nn.Module):
    """Class scores (N, K) from embeddings (N, d) and logits (N, K), which are empty where no classifier was trained."""

    def forward(self, embeddings: Tensor, logits: Tensor) -> Tensor:
        raise NotImplementedError


class Affine(Scores):
    """The logits times `scale`, plus `shift`, both (K,), in float64 as numpy has them."""

    scale: Tensor
    shift: Tensor

    def __init__(self, scale: npt.ArrayLike, shift: npt.ArrayLike) -> None:
        super().__init__()
        self.register_buffer("scale", torch.as_tensor(np.asarray(scale, np.float64)))
        self.register_buffer("shift", torch.as_tensor(np.asarray(shift, np.float64)))

    def forward(self, embeddings: Tensor, logits: Tensor) -> Tensor:
        return (logits.double() * self.scale + self.shift).float()


class Threshold(Scores):
    """Of two classes: 0, and by how much the log-odds of the second exceed `log_odds`."""

    def __init__(self, log_odds: float) -> None:
        super().__init__()
        self.log_odds = log_odds

    def forward(self, embeddings: Tensor, logits: Tensor) -> Tensor:
        above = (logits[:, 1].double() - logits[:, 0].double() - self.log_odds).float()
        return torch.stack([torch.zeros_like(above), above], dim=1)


class Neighbours(Scores):
    """`NearestNeighbours`: Eq. 3 or votes of the k nearest points."""

    points: Tensor
    squares: Tensor
    classes: Tensor

    def __init__(self, knn: NearestNeighbours) -> None:
        super().__init__()
        self.k, self.decision, self.class_count = min(knn.k, len(knn.points)), knn.decision, knn.class_count
        self.register_buffer("points", torch.as_tensor(knn.points))
        self.register_buffer("squares", torch.as_tensor((knn.points.astype(np.float64) ** 2).sum(1).astype(np.float32)))
        self.register_buffer("classes", torch.as_tensor(knn.classes))

    def forward(self, embeddings: Tensor, logits: Tensor) -> Tensor:
        # ‖q − p‖² with what is the same for all points put last: it decides nothing of who is near.
        own = embeddings.square().sum(1, keepdim=True)
        distances = self.squares - 2 * embeddings @ self.points.T + own
        nearest, places = distances.topk(self.k, dim=1, largest=False, sorted=True)
        member = F.one_hot(self.classes[places], self.class_count).bool()  # N×k×K
        return self._large_margin(nearest, member) if self.decision == "large_margin" else self._vote(member)

    def _large_margin(self, distances: Tensor, member: Tensor) -> Tensor:
        infinite = torch.full_like(distances, torch.inf)[..., None]
        farthest = torch.where(member, distances[..., None], -infinite).amax(1)
        foreign = torch.where(member, infinite, distances[..., None]).amin(1)
        margins = torch.where(torch.isinf(foreign), float(ALONE), foreign - farthest)
        return torch.where(member.any(1), margins, float(ABSENT))

    def _vote(self, member: Tensor) -> Tensor:
        ahead = torch.arange(self.k, 0, -1, dtype=torch.float32) / (2 * self.k)  # nearest first
        first = torch.where(member, ahead[:, None], 0.0).amax(1)
        return (member.float().sum(1) + first) / self.k


class Mixed(Scores):
    """The mean of the head's probabilities and the neighbours'."""

    def __init__(self, rule: HeadAndKNN) -> None:
        super().__init__()
        self.neighbours, self.blend = Neighbours(rule.knn.neighbours), rule.blend

    def forward(self, embeddings: Tensor, logits: Tensor) -> Tensor:
        of_neighbours = F.softmax(self.neighbours(embeddings, logits) / self.blend.temperature, dim=1)
        return self.blend.head * F.softmax(logits, dim=1) + (1 - self.blend.head) * of_neighbours


class Votes(Scores):
    """`SoftVoting`: of each class the votes of all its anchor points, in float64 as numpy has them."""

    points: Tensor
    places: Tensor

    def __init__(self, rule: SoftVoting) -> None:
        super().__init__()
        self.gamma, self.shape = rule.gamma, rule.points.shape[:2]
        self.register_buffer("points", torch.as_tensor(rule.points.reshape(-1, rule.points.shape[2])).double())
        # Which column has each class: one more, the last, is that of those without a point.
        places = np.full(rule.class_count, len(rule.codes))
        places[rule.codes] = np.arange(len(rule.codes))
        self.register_buffer("places", torch.as_tensor(places))
        self.absent = rule.absent

    def forward(self, embeddings: Tensor, logits: Tensor) -> Tensor:
        queries = embeddings.double()
        distances = queries.square().sum(1, keepdim=True) + self.points.square().sum(1) - 2 * queries @ self.points.T
        votes = (-self.gamma * distances.clamp(min=0)).reshape(-1, *self.shape).logsumexp(2)
        return F.pad(votes, (0, 1), value=self.absent)[:, self.places].float()


def scores_of(rule: Rule, class_count: int) -> Scores:
    """A fitted rule as a module. Raises DataError for one that has none."""
    if isinstance(rule, ClusterWise | LargeMargin | ClassMean | SampleWise):
        return Neighbours(rule.neighbours)
    if isinstance(rule, HeadAndKNN):
        return Mixed(rule)
    if isinstance(rule, SoftVoting):
        return Votes(rule)
    if isinstance(rule, HeadThresholds):
        return Threshold(rule.log_odds)
    if isinstance(rule, HeadTauNormalised | HeadAdjusted | Head):
        scale = rule.scale if isinstance(rule, HeadTauNormalised) else np.ones(class_count)
        return Affine(scale, np.zeros(class_count) if isinstance(rule, Head) else rule.shift)
    raise DataError(f"the rule {type(rule).__module__.rpartition('.')[2]} has no form for ONNX: serve it with MLflow")


class Graph(nn.Module):
    """From uint8 N×H×W×C to each task's class index, int64 (N,), and then its probabilities, float32 (N, K).

    Raises DataError if the model has no network, or answers by a rule without a form for ONNX.
    """

    def __init__(self, answerer: Answerer) -> None:
        super().__init__()
        embedder = answerer.embedder
        if embedder.network is None:
            raise DataError(
                f"there is no network to export: the model has hand-crafted features, {embedder.blueprint.features}"
            )
        self.network, self.whole = embedder.network, embedder.blueprint.features == "network"
        self.inference = embedder.inference
        tasks = answerer.tasks.values()
        self.names = [one.task.name for one in tasks]
        self.scores = nn.ModuleList(scores_of(one.rule, len(one.task.classes)) for one in tasks)
        self.probabilities = [one.probabilities for one in tasks]

    def forward(self, images: Tensor) -> list[Tensor]:
        embeddings, logits = self._seen(to_float(images))
        answers = []
        for name, of_task, how in zip(self.names, self.scores, self.probabilities, strict=True):
            scores = of_task(embeddings[name], logits[name])
            shares = F.softmax(scores / how.temperature, dim=1)
            answers += [scores.argmax(1), (1 - how.uniform) * shares + how.uniform / shares.shape[1]]
        return answers

    def _seen(self, images: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        if self.whole:
            return self.inference.embed_and_classify(self.network, images)
        features = on_sphere(self.network.pooled(images))
        return dict.fromkeys(self.names, features), dict.fromkeys(self.names, features[:, :0])
