"""The parameters of poolings: `network.pooling` in params.yaml."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from longtail.data.seed import Seed

Dimension = Annotated[int, Field(ge=2, le=2**20)]


class AverageParams(BaseModel, extra="forbid", frozen=True):
    """As the backbone does itself: the mean over its map, save small_cnn, which keeps every position of its own."""

    kind: Literal["average"] = "average"


class BilinearParams(BaseModel, extra="forbid", frozen=True):
    """Products of all pairs of channels."""

    kind: Literal["bilinear"]


class CompactBilinearParams(BaseModel, extra="forbid", frozen=True):
    """Sketches of the products of all pairs of channels."""

    kind: Literal["compact_bilinear"]
    dimension: Dimension = Field(8192, description="of the sketch: the length of the pooled features")
    seed: Seed = Field(0, description="of the hash functions")


class KernelParams(BaseModel, extra="forbid", frozen=True):
    """Sketches of the products of up to `order` channels."""

    kind: Literal["kernel"]
    order: int = Field(4, ge=2, le=10, description="p: of the Taylor series")
    dimension: Dimension = Field(4096, description="d̄: of the sketch of each order from 2")
    coefficients: Literal["learned", "fixed"] = Field(
        "learned", description="of the orders; fixed: they stay those of the Gaussian RBF"
    )
    gamma: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="γ of the RBF; null: one over the mean inner product of the training images' features",
    )
    seed: Seed = Field(0, description="of the hash functions")


PoolingParams = Annotated[
    AverageParams | BilinearParams | CompactBilinearParams | KernelParams, Field(discriminator="kind")
]
AVERAGE = AverageParams()
