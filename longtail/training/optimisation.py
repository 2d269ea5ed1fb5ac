"""How the loss of a training is minimised: the section `optimisation` of params.yaml."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, model_validator

from longtail.data.transforms import Augmentation

Share = Annotated[float, Field(gt=0, lt=1)]


class Optimisation(BaseModel, extra="forbid"):
    """How the loss is minimised; the paper's values are sgd, momentum 0.9, weight decay 0.0005."""

    iterations: int | None = Field(None, ge=1, description="mini-batches, or else:")
    image_passes: int | None = Field(None, ge=1, description="images that go through the network in all")
    optimiser: Literal["sgd", "adamw"] = Field("sgd", description="stochastic gradient descent with momentum, or AdamW")
    learning_rate: float = Field(0.01, gt=0, description="at the beginning, or after `warm_up`")
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd")
    weight_decay: float = Field(0.0005, ge=0, description="of all weights but those that a method spares")
    schedule: Literal["constant", "cosine", "step"] = Field(
        "cosine", description="of the learning rate: constant, to 0 along a cosine, or in steps"
    )
    milestones: list[Share] = Field(
        [0.8, 0.9],
        description="of the schedule step: shares of the training, after each "
        "of which the learning rate is multiplied by `decay`",
    )
    decay: float = Field(0.01, gt=0, lt=1, description="factor of the learning rate at each of `milestones`")
    warm_up: int = Field(0, ge=0, description="iterations over which the learning rate rises from 0")
    precision: Literal["float32", "bfloat16"] | None = Field(
        None, description="of convolutions and products; null: bfloat16 on GPUs, float32 on CPUs"
    )
    layer_decay: float = Field(
        1.0, gt=0, le=1, description="the learning rate of each block of the backbone, as a share of that of the next"
    )
    clip: float | None = Field(None, gt=0, description="greatest norm of the gradient of all weights")
    average: float | None = Field(
        None, gt=0, lt=1, description="the model is the moving average of its weights, with this decay a step"
    )
    early_stopping: int | None = Field(
        None,
        ge=1,
        description="end when the loss on validation, measured every `log_every` iterations, has not fallen so many "
        "times in a row; the model is that of the least. null: every iteration is run, and the last is the model",
    )
    compile: bool = Field(False, description="by torch.compile: minutes at first, then faster on GPUs")
    freeze_batch_norm: bool = Field(False, description="normalise by the statistics that the network came with")
    augmentation: Augmentation = Field(Augmentation(), description="of training images")
    checkpoint_every: int = Field(200, ge=1, exclude=True, description="iterations")
    log_every: int = Field(20, ge=1, description="iterations over which logged scalars are averaged")

    @model_validator(mode="after")
    def _one_length(self) -> "Optimisation":
        if (self.iterations is None) == (self.image_passes is None):
            raise ValueError("give one of iterations and image_passes, and leave the other out or set it to null")
        return self

    @model_validator(mode="after")
    def _checkpoint_between_logs(self) -> "Optimisation":
        if self.checkpoint_every % self.log_every:
            raise ValueError("checkpoint_every must be a multiple of log_every")
        return self
