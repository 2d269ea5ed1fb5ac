"""The seed of everything random, alike in every step."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("true and false are no numbers")
    return value


# FAISS takes 31 bits, and rounds and tasks add to the seed.
Seed = Annotated[int, Field(ge=0, le=2_000_000_000, description="of everything random"), BeforeValidator(_number)]
