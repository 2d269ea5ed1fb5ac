"""How an edge map is made of patches."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, model_validator

NEIGHBOURS, PATCHES = 20, 1  # k of LMLE, and what N⁴-Fields takes
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
    """`transfer` null: classes where a rule is given or the model answers by its classifier, else clusters. What is of
    another transfer than the one that is asked is refused: it would change nothing.
    """

    stride: int = Field(2, ge=1, description="pixels between the centres of patches")
    side: int = Field(16, ge=1, description="pixels of the windows that are transferred, a side (16 of N⁴-Fields)")
    transfer: Transferred | None = Field(
        None,
        description="what was drawn in the nearest clusters, in the nearest patches of them, or in all classes",
    )
    rule: str | None = Field(None, description="whose probabilities `classes` go by; null: the model's own")
    neighbours: int | None = Field(
        None, ge=1, description=f"nearest clusters, of `clusters` and `patches`; null: {NEIGHBOURS}, as LMLE"
    )
    patches: int | None = Field(
        None, ge=1, description=f"nearest training patches in those clusters; null: {PATCHES}, as N⁴-Fields"
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="of the network: bfloat16 halves the time where the processor has it"
    )
    scales: list[Scale] = Field([1.0], min_length=1, description="of the photograph; the maps of all are averaged")

    @model_validator(mode="after")
    def _rule_is_one_of_classes(self) -> Self:
        from longtail.rules.registry import RULES  # which loads faiss, and the help of a command loads this

        if self.rule is not None and self.rule not in RULES:
            raise ValueError(f"there is no rule {self.rule!r}; there are {', '.join(RULES)}")
        if self.rule is not None and self.transfer not in (None, Transferred.CLASSES):
            raise ValueError(f"`rule` is of `transfer: classes`, not of {self.transfer}; leave one of them out")
        return self

    @model_validator(mode="after")
    def _nothing_in_vain(self) -> Self:
        transfer = Transferred.CLASSES if self.rule is not None else self.transfer
        if self.neighbours is not None and transfer is Transferred.CLASSES:
            raise ValueError("`neighbours` is of `transfer: clusters` and `patches`, not of classes; leave it out")
        if self.patches is not None and transfer is not Transferred.PATCHES:
            asked = f"not of {transfer}" if transfer else "which has to be asked"
            raise ValueError(f"`patches` is of `transfer: patches`, {asked}; leave it out, or set `transfer`")
        return self
