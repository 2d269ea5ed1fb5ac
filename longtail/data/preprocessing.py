"""How a picture's file becomes the pixels that a network sees: written by `ingest`, carried in every model."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

Fit = Annotated[
    Literal["stretch", "crop", "pad"],
    Field(description="how images get the packed shape: stretched, their middle, or whole on black"),
]
"""How an image of another aspect ratio gets the asked one: distorted, cut at the middle, or on a black ground."""


class Preprocessing(BaseModel, frozen=True, extra="forbid"):
    """What is done to a decoded image, upright and without transparency, until it is uint8 H×W×C of `image_shape`.

    `white` is the value of white in grey of more than 8 bits (`DeepGrey`), `jpeg_quality` that of the JPEG in which
    the pixels are kept; None: they are kept as they are.
    """

    image_shape: tuple[int, int, int]
    fit: Fit = "stretch"
    resampling: Literal["bicubic"] = "bicubic"
    white: float | None = None
    jpeg_quality: int | None = Field(None, ge=1, le=100)
