"""Triplets sampled where the samples lie: positives from nearby, negatives that violate the margin, never the hardest.

Source: Cui, Zhou, Lin and Belongie, CVPR 2016, by the numbers that sections and equations have in chapter 2 of Cui's
dissertation (Cornell University, 2019): 2.3.1 to 2.3.3 (Eq. 2.1), and 2.4.1 on the quasi-online sampling. `negatives:
random` with `region: 1` is its Triplet-Naive, `negatives: hard` with `region: 1` Triplet-HN, the defaults Triplet-M.
"""

from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from longtail.data.samplers import mean_weights
from longtail.methods.base import Ints, MethodParams, Setup
from longtail.methods.batch import Batch, Selection
from longtail.methods.in_batch import check_classes, small_classes
from longtail.methods.placed import PlacedMethod
from longtail.methods.sampled_triplet.sampling import draw_negatives, draw_positives
from longtail.network.network import Network

TRIES = 3  # samples of a class that are tried in the place of one without a negative


class TripletParams(MethodParams):
    """The margin m, on squared distances of the unit sphere, and how triplets are sampled; defaults are the paper's."""

    margin: float = Field(0.2, gt=0, le=4, description="m, on squared distances of the unit sphere")
    negatives: Literal["hard", "random"] = Field(
        "hard", description="hard: at random among those that violate the margin; random: among all of other classes"
    )
    region: float = Field(
        0.6, gt=0, le=1, description="positives are among the nearest such share of the others of the class; 1: all"
    )
    refresh: int = Field(
        1000,
        ge=1,
        description="iterations after which all samples are embedded anew, to sample by; a quarter of the training at "
        "most",
    )


class Params(TripletParams):
    """The triplet loss alone."""

    kind: Literal["sampled_triplet"] = "sampled_triplet"

    def build(self, setup: Setup) -> "SampledTriplet":
        return SampledTriplet(setup, self)


class SampledTriplet(PlacedMethod):
    """The triplet loss on `batch` anchors a task and step, each with a positive and a negative.

    An anchor without a negative is left out, and another sample of its class takes its place; where none of a few has
    one, or no positive, the place is empty. Beside the negative of another class an anchor has one of those that people
    marked (`Setup.negatives`), by the same rule, where one violates the margin.
    """

    trains_classifier = False

    def __init__(self, setup: Setup, params: TripletParams) -> None:
        super().__init__(setup, params.refresh)
        self.params: TripletParams = params
        if not self.trains_classifier:
            check_classes(setup, 2, "samples of one class are each other's positives")
        self._small = small_classes(setup, 2)

    def warnings(self) -> list[str]:
        return [*super().warnings(), *self._small]

    def select_for(self, task: str, positions: Ints, step: int) -> Selection:
        """Anchor, positive, negative and, where there are any, marked negative; the anchor again where one is missing.
        Of each negative `triplet_weights`, which sum to 1 over those that there are.
        """
        pool, rng = self.pools[task], np.random.default_rng([self.seed, step, list(self.labels).index(task)])
        anchors, partners = self._triplets(task, pool.rows(positions), rng)
        found = partners[:, 1:] >= 0
        codes = pool.codes[anchors]
        weights = np.zeros(found.shape, np.float32)
        weights[found] = mean_weights(np.repeat(codes, found.sum(1)), cost=self.cost(step))
        rows = np.column_stack([anchors, np.where(partners < 0, anchors[:, None], partners)])
        own = mean_weights(codes, cost=self.cost(step))
        return Selection(pool.positions[rows], {"codes": codes, "weights": own, "triplet_weights": weights})

    def _triplets(self, task: str, drawn: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
        """The anchors (B,), and the partners (B, 2 or 3) of each, −1 where there is none, as rows of the pool."""
        pool, anchors, waiting = self.pools[task], drawn.copy(), np.arange(len(drawn))
        partners = np.full((len(drawn), 3 if len(pool.marked) else 2), -1)
        for again in range(TRIES):
            if again:
                members = [pool.members[int(code)] for code in pool.codes[anchors[waiting]]]
                anchors[waiting] = [own[rng.integers(len(own))] for own in members]
            partners[waiting] = self._partners(task, anchors[waiting], rng)
            waiting = waiting[(partners[waiting, 1:] < 0).all(1)]
        return anchors, partners

    def _partners(self, task: str, anchors: Ints, rng: np.random.Generator) -> Ints:
        pool, points, how = self.pools[task], self.points(task), self.params
        positives = draw_positives(points, pool, anchors, how.region, rng)
        squares = ((points[anchors] - points[positives]) ** 2).sum(1) + np.float32(how.margin)
        # Without a positive nothing can be too near; at random everything is near enough.
        bounds = np.where(positives < 0, -np.inf, squares if how.negatives == "hard" else np.inf).astype(np.float32)
        of = [draw_negatives(points, pool, pool.labelled, anchors, bounds, rng)]
        of += [draw_negatives(points, pool, pool.marked, anchors, bounds, rng)] if len(pool.marked) else []
        return np.column_stack([positives, *of])

    def loss(self, network: Network, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"loss": self.triplet_loss(network.embed(images), batch), "triplets": self.triplets(batch)}

    def triplet_loss(self, embeddings: dict[str, Tensor], batch: Batch) -> Tensor:
        """The weighted mean of Eq. 2.1 over the triplets of a step, summed over the tasks."""
        total = next(iter(embeddings.values())).new_zeros(())
        for task, of_task in embeddings.items():
            rows, weights = batch.rows[task], batch.targets[task]["triplet_weights"]
            # Autocast would take the differences in bfloat16, and near neighbours would be equally near.
            with torch.autocast(of_task.device.type, enabled=False):
                for place, weight in enumerate(weights.T, start=2):
                    triplets = rows[:, [0, 1, place]]
                    total = total + triplet_hinge(of_task.float(), triplets, weight, self.params.margin)
        return total

    def triplets(self, batch: Batch) -> Tensor:
        """How many triplets a step has."""
        return torch.stack([(of["triplet_weights"] > 0).sum().float() for of in batch.targets.values()]).sum()


def triplet_hinge(x: Tensor, triplets: Tensor, weights: Tensor, margin: float) -> Tensor:
    """The weighted sum of max{0, ‖f(x) − f(x_p)‖² − ‖f(x) − f(x_n)‖² + m} (Eq. 2.1), a scalar.

    `x` (m, d) on the unit sphere; `triplets` (n, 3) rows of it: anchor, positive, negative; `weights` (n,).
    """
    anchors, positives, negatives = x[triplets].unbind(1)
    near, far = ((anchors - others).square().sum(1) for others in (positives, negatives))
    return (weights * (near - far + margin).clamp(min=0)).sum()
