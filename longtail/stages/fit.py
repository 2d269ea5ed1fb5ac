"""A training of `fits`: at once, without a table, after `start` or another training."""

from pydantic import Field, field_validator

from longtail.data.splits import Split
from longtail.methods.base import AnyMethod, MethodParams
from longtail.methods.catalogue import entry_of
from longtail.network.snapshot import Round, State, best, current, mean_score
from longtail.stages.contract import Input, Output, Weights, stage
from longtail.training.distributed import parallel
from longtail.training.model import Sources, train_model
from longtail.training.outcome import last_scalars, log_score, validation_scores
from longtail.training.params import TrainingParams
from longtail.world import World


class Params(TrainingParams):
    """An entry of `fits` in params.yaml, with the shared seed, cluster_size, network and search."""

    name: str = Field("fit", pattern=r"^\w+$", description="the key of the entry")
    method: AnyMethod = Field({"kind": "softmax"}, validate_default=True)

    @property
    def called(self) -> str:
        """See `TrainingParams.called`."""
        return f"fits.{self.name}"

    @field_validator("method")
    @classmethod
    def _without_table(cls, method: MethodParams) -> MethodParams:
        if entry_of(method.kind).needs_table:
            raise ValueError(f"{method.kind} is trained on a table, so in `rounds`: name it in the section `train`")
        return method


@parallel
@stage
def run(dataset: Input, split: Input, previous: Weights, model: Output, *, params: Params) -> dict[str, float]:
    """Write the model directory; return its validation score and the last losses.

    There is no choice among the steps of the training: the model is that of the last one.
    """
    curve = train_model(
        Sources(dataset, split, best(previous)),
        model,
        params,
        inputs=[dataset, split, previous],
        seed=params.seed,
        world=World.from_environment(),
    )
    if curve is None:
        return {}
    scores = validation_scores(params.scoring, current(model), Split.open(split))
    state = State(rule=params.scoring.rule, history=[Round(round=0, scores=scores, curve=curve)])
    state.write(model)
    log_score(params.name, state)
    return {"validation_score": mean_score(scores), **last_scalars(curve)}
