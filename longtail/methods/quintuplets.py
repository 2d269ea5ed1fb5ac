"""What the methods on quintuplets share: the table of the round, and the hinges on its rows or on fresh quintuplets."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from longtail.data.samplers import mean_weights
from longtail.methods.base import Floats, Ints, Method, MethodParams, Setup
from longtail.methods.batch import Batch, Selection, once
from longtail.methods.in_batch import check_batch, few_of_a_class
from longtail.methods.positive_sharing import (
    PositiveSharing,
    background_share,
    check_backgrounds,
    shared_weights,
)
from longtail.quintuplets.hinge import DEFAULT_MARGINS, Distance, Margins, triple_header_hinge
from longtail.quintuplets.in_batch import batch_quintuplets
from longtail.quintuplets.table import load_tables


class QuintupletMethod(Method):
    """A method that needs the quintuplet table of a round: `batch` anchors a task and step, which it has rows of."""

    trains_classifier = False

    def __init__(self, setup: Setup, positive_sharing: float | None = None) -> None:
        super().__init__(setup)
        assert setup.table is not None
        self.tables = load_tables(setup.table)
        check_backgrounds(setup, positive_sharing)
        self._sharing, self._backgrounds = positive_sharing, setup.backgrounds
        self._shares = {
            task: background_share(self._counts[task], code, setup.sampling.sampling)
            for task, code in setup.backgrounds.items()
        }

    def anchor_weights(self, task: str, positions: Ints, step: int) -> Floats:
        """What each anchor counts in the hinges; in sum 1, with positive sharing in the mean of all mini-batches."""
        codes, cost = self.labels[task][positions], self.cost(step)
        if not self._sharing:
            return mean_weights(codes, cost=cost)
        share = self._shares[task]
        return shared_weights(codes, self._backgrounds[task], share, cost=cost, sharing=self._sharing)


class HingeParams(MethodParams):
    """The parameters of a method with the hinges of Eq. 2."""

    margins: Margins = Field(DEFAULT_MARGINS, description="of the three hinges, in the unit of `distance`")
    positive_sharing: PositiveSharing = None
    distance: Distance = Field("squared", description="D of the hinges; the margins are in its unit")
    mining: Literal["table", "batch"] = Field(
        "table",
        description="quintuplets of the round's table, or fresh ones among the `batch` samples of a step, whose "
        "clusters alone are of the round",
    )


class HingeMethod(QuintupletMethod):
    """A method with the hinges of Eq. 2: on `batch` anchors with their partners, or inside `batch` samples."""

    def __init__(self, setup: Setup, params: HingeParams) -> None:
        super().__init__(setup, params.positive_sharing)
        self.hinge_params = params
        if params.mining == "batch":
            wants = "the hinge between clusters takes an anchor, p+ and p− of one class (`mining: batch`)"
            check_batch(setup, 3, wants, "`mining: table`")
        self._few = few_of_a_class(setup, 3) if params.mining == "batch" else []

    def warnings(self) -> list[str]:
        return [*super().warnings(), *self._few]

    def select_for(self, task: str, positions: Ints, step: int) -> Selection:
        table, weights = self.tables[task], self.anchor_weights(task, positions, step)
        if self.hinge_params.mining == "batch":
            kept, summed = once(positions, weights)
            clusters = table.clusters[table.rows(kept)]
            return Selection(kept, {"weights": summed, "codes": self.labels[task][kept], "clusters": clusters})
        rows = table.rows(positions)
        return Selection(table.members[rows], {"weights": weights, "has_other_cluster": table.has_other_cluster[rows]})

    def hinges(self, task: str, embeddings: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The hinges of a task on the embeddings (m, d) of a mini-batch, in float32 under autocast too. Fresh
        quintuplets are those of this process's share of it; `whole` is the share of them, by weight, that is whole.
        """
        params, rows, targets = self.hinge_params, batch.rows[task], batch.targets[task]
        members, weights, whole = rows, targets["weights"], {}
        # As of every method that compares embeddings: in bfloat16 near neighbours would be equally near.
        with torch.autocast(embeddings.device.type, enabled=False):
            points = embeddings.float()
            if params.mining == "batch":
                mined = batch_quintuplets(points[rows], targets["codes"], targets["clusters"])
                members, has_other_cluster = rows[mined.members], mined.has_other_cluster
                weights = torch.where(mined.has_negative, weights, 0)
                whole = {"whole": (weights * mined.whole).sum() / len(batch.rows)}
            else:
                has_other_cluster = targets["has_other_cluster"]
            found = triple_header_hinge(points, members, has_other_cluster, weights, params.margins, params.distance)
        return {"loss": found.loss, "hinge_1": found.cluster, "hinge_2": found.within_class} | {
            "hinge_3": found.between_class,
            **whole,
        }
