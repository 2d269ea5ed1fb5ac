"""The seed of everything random, alike in every step."""

from typing import Annotated

from pydantic import Field

# FAISS takes 31 bits, and rounds and tasks add to the seed.
Seed = Annotated[int, Field(ge=0, le=2_000_000_000, description="of everything random")]
