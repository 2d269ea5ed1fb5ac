"""The parameters of a training, and which of them do not go together."""

from pydantic import Field, model_validator

from longtail.data.seed import Seed
from longtail.data.transforms import Augmentation
from longtail.errors import DataError
from longtail.methods.base import OFTEN, AnyMethod, Sampling
from longtail.methods.catalogue import entry_of
from longtail.network.inference import Inference
from longtail.network.network import NetworkParams
from longtail.rules.clusters import ClusterSize
from longtail.rules.search import Search
from longtail.training.optimisation import Optimisation
from longtail.training.outcome import Scoring


class TrainingParams(Sampling):
    """The parameters of any training, with the shared seed, cluster_size, network and search."""

    seed: Seed = 0
    cluster_size: ClusterSize = None
    network: NetworkParams = NetworkParams()
    search: Search = Search()
    method: AnyMethod
    trained_blocks: int | None = Field(
        None,
        ge=0,
        description="of the backbone the last so many blocks alone; what is below stays, batch-norm statistics too. "
        "0: only what is on top of it is trained; null: all of it",
    )
    optimisation: Optimisation = Optimisation(iterations=1000)
    inference: Inference = Field(Inference(), exclude_if=lambda how: how == Inference())

    @model_validator(mode="after")
    def _corrected_once(self) -> "TrainingParams":
        if entry_of(self.method.kind).corrects_prior and (self.sampling != "natural" or self.cost):
            raise ValueError(
                f"{self.method.kind} makes up for the imbalance itself, and class-even mini-batches or costs would do "
                "so once more: set `sampling: natural` and `cost: false`"
            )
        return self

    @model_validator(mode="after")
    def _nothing_in_vain(self) -> "TrainingParams":
        if self.trained_blocks and not self.method.trains_body:
            raise ValueError(
                f"{self.method.kind} trains classifiers alone, and all below stays as it is: leave out trained_blocks"
            )
        if self.together is False and self.method.shares_images:
            raise ValueError(f"{self.method.kind} shares its images among the tasks: leave out `together: false`")
        if fault := self.method.in_vain():
            raise ValueError(fault)
        return self

    @model_validator(mode="after")
    def _negatives_separated(self) -> "TrainingParams":
        if self.negatives == "ignore":
            if self.negatives_often != OFTEN:
                raise ValueError("negatives_often says how often hard negatives are drawn: give `negatives` too")
        elif not self.method.separates_negatives or getattr(self.method, "mixup", None):
            mixtures = " on mixtures" if self.method.separates_negatives else ""
            raise ValueError(
                f"{self.method.kind}{mixtures} cannot have hard negatives as further classes: leave `negatives` out"
            )
        return self

    @model_validator(mode="after")
    def _embedding_learned(self) -> "TrainingParams":
        if entry_of(self.method.kind).needs_table and self.network.embedding is None:
            raise ValueError(f"{self.method.kind} learns an embedding: give `network.embedding` a length")
        return self

    @model_validator(mode="after")
    def _embedding_shared(self) -> "TrainingParams":
        if self.method.one_embedding and self.network.embedding and not self.network.shared_embedding:
            raise ValueError(f"{self.method.kind} has one embedding of all tasks: set `network.shared_embedding: true`")
        return self

    @model_validator(mode="after")
    def _something_deferred(self) -> "TrainingParams":
        weighs = self.cost or entry_of(self.method.kind).weighs_classes
        if self.deferred and self.sampling == "natural" and not weighs:
            raise ValueError(
                f"nothing is deferred: {self.method.kind} draws naturally and without weights throughout; name a "
                "`sampling` or a `cost` that begins then, or leave `deferred` out"
            )
        return self

    def check_stored(self) -> None:
        """Raise DataError if a training on stored features is to do what takes the images."""
        if self.optimisation.augmentation != Augmentation():
            raise DataError(
                f"{self.called} is trained on stored features, and its augmentation takes the images: store augmented "
                "views with `views` and `augmentation` of those features, or leave it out"
            )
        if self.inference != Inference():
            raise DataError(
                f"{self.called} is trained on stored features, which are of the images as they are: leave out inference"
            )
        if self.trained_blocks:
            raise DataError(
                f"{self.called} is trained on stored features, so its backbone stays: leave out trained_blocks"
            )

    @model_validator(mode="after")
    def _stopped_once(self) -> "TrainingParams":
        if entry_of(self.method.kind).needs_table and self.optimisation.early_stopping:
            raise ValueError(
                f"{self.method.kind} is trained in rounds, which `train.patience` stops: leave out early_stopping"
            )
        if (self.deferred or self.sampling == "progressive") and self.optimisation.early_stopping:
            raise ValueError(
                "early stopping may end a training before its mini-batches are what they are to be: leave it out, or "
                "`deferred` and `progressive`, or let a second training follow the first"
            )
        return self

    @property
    def called(self) -> str:
        """What messages call the training: by its section of params.yaml."""
        return "train"

    @property
    def scoring(self) -> Scoring:
        """How the training is scored on validation: by its method's rule."""
        return Scoring(entry_of(self.method.kind).rule, self.cluster_size, self.search, self.seed)
