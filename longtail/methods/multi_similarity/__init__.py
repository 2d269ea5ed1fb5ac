"""Multi-similarity loss (Wang, Han, Huang, Dong and Scott, CVPR 2019), as pytorch-metric-learning has it."""

from typing import Literal

from pydantic import Field
from torch import Tensor

from longtail.methods.base import MethodParams, Setup
from longtail.methods.in_batch import AnchorMethod


class Params(MethodParams):
    """α, β and λ of the loss and ε of the mining. The defaults are the library's."""

    kind: Literal["multi_similarity"] = "multi_similarity"
    alpha: float = Field(2.0, gt=0, description="how much harder positives outweigh others")
    beta: float = Field(50.0, gt=0, description="how much harder negatives outweigh others")
    base: float = Field(0.5, ge=-1, le=1, description="λ: the cosine around which pairs are weighed")
    epsilon: float = Field(0.1, ge=0, le=2, description="how much easier than the hardest of the others a pair may be")

    def build(self, setup: Setup) -> "MultiSimilarity":
        return MultiSimilarity(setup, self)


class MultiSimilarity(AnchorMethod):
    """The library mines the pairs, and gives the loss of each anchor."""

    def __init__(self, setup: Setup, params: Params) -> None:
        from pytorch_metric_learning.losses import MultiSimilarityLoss
        from pytorch_metric_learning.miners import MultiSimilarityMiner

        super().__init__(setup)
        self.miner = MultiSimilarityMiner(params.epsilon)
        self.of_pairs = MultiSimilarityLoss(params.alpha, params.beta, params.base)

    def losses(self, embeddings: Tensor, codes: Tensor) -> Tensor:
        # By the matrix of cosines: where one positive and one negative pair are mined, the library's `forward` has 0.
        cosines = self.of_pairs.distance(embeddings)
        losses: Tensor = self.of_pairs.mat_based_loss(cosines, self.miner(embeddings, codes))["loss"]["losses"]
        return losses.flatten()
