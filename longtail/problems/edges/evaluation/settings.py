"""What an evaluation's figures depend on beside the maps."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class Suppression(StrEnum):
    """The non-maximum suppression of a map before thresholds."""

    NONE = "none"
    STRUCTURED_EDGES = "structured_edges"


class Settings(BaseModel):
    """`thresholds`: how many, evenly spaced between 0 and 1."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    nms: Suppression = Suppression.NONE
    thresholds: int = Field(99, ge=1, le=999, description="evenly spaced between 0 and 1")
