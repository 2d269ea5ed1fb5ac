"""How an edge map is made of patches."""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, Field

Scale = Annotated[float, Field(gt=0, le=10)]


class Transferred(StrEnum):
    """From where what was drawn is taken: of the nearest clusters on average, of the nearest training patches in those
    clusters, or of all classes by their probabilities.
    """

    CLUSTERS = "clusters"
    PATCHES = "patches"
    CLASSES = "classes"


class Subset(StrEnum):
    """Of which photographs maps are made."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class Settings(BaseModel, extra="forbid"):
    """`transfer` null: clusters or, of a model that answers by its classifier, classes."""

    stride: int = Field(2, ge=1, description="pixels between the centres of patches")
    side: int = Field(16, ge=1, description="pixels of the windows that are transferred, a side (16 of N⁴-Fields)")
    transfer: Transferred | None = None
    neighbours: int = Field(20, ge=1, description="nearest clusters (k = 20 of LMLE)")
    patches: int = Field(1, ge=1, description="nearest training patches in those clusters (1 of N⁴-Fields)")
    scales: list[Scale] = Field([1.0], min_length=1, description="of the photograph; the maps of all are averaged")
