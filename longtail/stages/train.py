"""One round of training; also writes the embeddings for the next clustering."""

import shutil
import sys

from pydantic import Field, model_validator

from longtail.data.splits import Split
from longtail.errors import DataError
from longtail.methods.base import LARGEST_BATCH, AnyMethod
from longtail.network.snapshot import State, best, current, mean_score
from longtail.stages.contract import Input, Output, stage
from longtail.training.distributed import parallel
from longtail.training.loop import Stretch
from longtail.training.model import Sources, train_model
from longtail.training.outcome import before_rounds, last_scalars, log_score, next_state, validation_scores
from longtail.training.params import TrainingParams
from longtail.world import World


class Params(TrainingParams):
    """The `train` section of params.yaml, with the shared seed, cluster_size, network and search."""

    method: AnyMethod = Field({"kind": "lmle"}, validate_default=True)
    batch: int = Field(40, ge=1, le=LARGEST_BATCH, description="anchors a step and task, of each process")
    patience: int = Field(1, ge=1, description="rounds without improvement before training stops")
    fresh: bool = Field(
        False,
        description="the first round begins with new weights, not pretrained ones either: what it follows gives only "
        "the features of the first clustering, as in LMLE",
    )
    schedule_rounds: int = Field(
        1, ge=1, description="rounds over which the learning rate's schedule goes; 1: every round has its own"
    )

    @model_validator(mode="after")
    def _schedule_ends(self) -> "Params":
        if self.patience < self.schedule_rounds:
            raise ValueError(
                f"patience {self.patience} may stop the training before its schedule of {self.schedule_rounds} rounds "
                "has ended: give patience the number of rounds"
            )
        return self


@parallel
@stage
def run(
    dataset: Input, split: Input, previous: Input, quintuplets: Input, model: Output, *, params: Params
) -> dict[str, float]:
    """Write the model directory of the next round; a stopped one is passed through."""
    world = World.from_environment()
    state = State.read(previous)
    if state.stopped:
        if world.first:
            print(f"train: passed through, for no round after {state.best_round} was better", file=sys.stderr)
            shutil.copytree(previous, model, dirs_exist_ok=True)
        return {"round": float(state.round), "stopped": 1.0, "best_score": state.best_score}
    table = Split.open(split)
    if world.first:
        state = before_rounds(params.scoring, previous, table)
    number = state.round + 1
    if 1 < params.schedule_rounds < number:
        raise DataError(
            f"this is round {number}, and train.schedule_rounds ends the schedule with round {params.schedule_rounds}; "
            "give it the number of rounds"
        )
    curve = train_model(
        Sources(dataset, split, current(previous), quintuplets),
        model,
        params,
        inputs=[dataset, split, previous, quintuplets],
        seed=params.seed + number,
        world=world,
        fresh=params.fresh and number == 1,
        stretch=Stretch((number - 1) % params.schedule_rounds, params.schedule_rounds),
    )
    if curve is None:
        return {}
    scores = validation_scores(params.scoring, current(model), table)
    state = next_state(state, scores, curve, params.patience)
    if state.best_round != number:
        shutil.copytree(best(previous), model / "best")
    state.write(model)
    log_score("rounds", state)
    report = {"round": float(number), "stopped": float(state.stopped), "best_round": float(state.best_round)}
    return report | {"validation_score": mean_score(scores), **last_scalars(curve)}
