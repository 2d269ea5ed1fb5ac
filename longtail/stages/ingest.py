"""Ingest: any source of labelled images into the packed dataset."""

import os
import shutil
from collections.abc import Mapping
from operator import not_
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, model_validator

from longtail.data.colours import Grid
from longtail.data.dataset import write_dataset
from longtail.data.jpeg import LONGEST_SIDE
from longtail.data.preprocessing import Fit, Preprocessing
from longtail.data.seed import Seed
from longtail.errors import DataError
from longtail.sources.bsds500 import Bsds500
from longtail.sources.celeba import CelebA
from longtail.sources.collection import Collection, Request
from longtail.sources.deep_grey import DeepGrey
from longtail.sources.digits import Digits
from longtail.sources.files import check_there
from longtail.sources.folder import Folder
from longtail.sources.idx import Idx
from longtail.sources.image_lists import ImageLists
from longtail.sources.limits import Limits
from longtail.sources.problems import OnError, Problems
from longtail.sources.quoting import listed, shown
from longtail.sources.silknow import SilkNow
from longtail.sources.table import LabelTable
from longtail.sources.torchvision_dataset import TorchvisionDataset
from longtail.stages.contract import Input, Output, stage

AnySource = Annotated[
    Bsds500 | CelebA | Digits | Folder | Idx | ImageLists | LabelTable | SilkNow | TorchvisionDataset,
    Field(discriminator="kind"),
]
Length = Annotated[int, Field(ge=1, le=10**6)]  # of a side: what is more was a slip
JPEG_SIDE = 128  # images of this shorter side or more are kept as JPEGs, where nobody has said
QUALITY = 95


class Params(BaseModel, extra="forbid"):
    """`image_shape` is height, width, channels (1: grey, 3: RGB). The result does not depend on `workers`.

    `storage` is how the packed dataset keeps an image, as its pixels (raw) or as a JPEG of `quality`; null: as a JPEG
    of quality 95 where the shorter side has 128 pixels or more.

    `white` is the value of white in grey images of more than 8 bits; null: what the files say (`DeepGrey`).

    `colours` asks for colour histograms on a grid of so many cells a side (`data.colours`), for methods that compare
    colours; null: none.

    `on_error: fail` stops with the first problems listed; `skip` leaves them out and counts them in the result.
    """

    source: AnySource = Field(description="where images and labels come from")
    image_shape: tuple[Length, Length, Literal[1, 3]]
    storage: Literal["raw", "jpeg"] | None = None
    quality: int | None = Field(None, ge=1, le=100)
    white: float | None = Field(None, gt=0)
    colours: Grid | None = Field(None, exclude_if=not_)
    on_error: OnError = "fail"
    limits: Limits = Field(Limits(), description="beyond which files are refused")
    workers: int = Field(2, ge=1, exclude=True)
    seed: Seed = 0

    @model_validator(mode="after")
    def _check_shape(self) -> Self:
        height, width, _ = self.image_shape
        if height * width > self.limits.image_megapixels * 1e6:
            raise ValueError(
                f"image_shape has {height * width / 1e6:,.0f} megapixels, and limits.image_megapixels is "
                f"{self.limits.image_megapixels:g}: make the images smaller, or raise the limit"
            )
        return self

    @model_validator(mode="after")
    def _check_colours(self) -> Self:
        if self.colours is not None and self.image_shape[2] == 1:
            raise ValueError("`colours` counts hues and saturations, and the images are grey: leave it out")
        return self

    @model_validator(mode="after")
    def _check_storage(self) -> Self:
        size = f"images of {self.image_shape[0]}×{self.image_shape[1]}"
        if self.quality is not None and self.jpeg_quality is None:
            raise ValueError(
                f"`quality` is that of JPEGs, and {size} are kept raw; ask `storage: jpeg`, or leave `quality` out"
            )
        if self.jpeg_quality is not None and max(self.image_shape) > LONGEST_SIDE:
            raise ValueError(f"{size} are too large for a JPEG, whose sides have {LONGEST_SIDE} pixels at most")
        return self

    @property
    def jpeg_quality(self) -> int | None:
        """The quality of the JPEGs in which images are kept; None: they are kept as their pixels."""
        by_size = "jpeg" if min(self.image_shape[:2]) >= JPEG_SIDE else "raw"
        return (self.quality or QUALITY) if (self.storage or by_size) == "jpeg" else None

    def preprocessing(self, fit: Fit) -> Preprocessing:
        """How an image's file becomes its pixels, where the source has that `fit`."""
        return Preprocessing(image_shape=self.image_shape, fit=fit, white=self.white, jpeg_quality=self.jpeg_quality)


@stage
def run(data: Input, dataset: Output, *, params: Params) -> dict[str, float]:
    """Write the packed dataset of `params.source`, whose paths are relative to `data`.

    Returns the number of images, the number of classes per task, and how many samples were left out, by reason.
    Raises DataError for bad input.
    """
    scratch = dataset / "scratch"
    scratch.mkdir(parents=True)
    problems = Problems(params.on_error)
    request = Request(
        params.image_shape,
        scratch,
        params.workers,
        params.seed,
        problems,
        params.limits,
        DeepGrey(params.white),
        params.jpeg_quality,
    )
    collection = params.source.load(data, request)
    problems.settle()
    _check(collection)
    info = write_dataset(
        dataset,
        collection.samples,
        collection.images,
        tasks=collection.tasks,
        image_shape=params.image_shape,
        provenance=collection.provenance,
        licence=collection.licence,
        imbalance=collection.imbalance,
        preprocessing=None if collection.fit is None else params.preprocessing(collection.fit),
        aligned_jpeg_quality=params.jpeg_quality if collection.fit is None else None,
        colours=params.colours,
    )
    shutil.rmtree(scratch)
    classes = {f"classes_{task.name}": float(len(task.classes)) for task in info.tasks}
    return {"images": float(info.count), **classes, **problems.scalars()}


def check_data(file: str, data: object, section: Mapping[str, Any] | None) -> None:
    """Raise DataError if the parameter `data` is no path at which `run` finds something, or the section's source is to
    be read from where nothing lies. Nothing is opened.
    """
    if not isinstance(data, str) or not data:
        raise DataError(f"{file}: `data` must be the path of a file or directory, and is {shown(repr(data))}")
    if "://" in data:
        raise DataError(f"{file}: `data` is an address, and ingest reads files: download {shown(data)} first")
    if not os.path.exists(data):
        raise DataError(f"{file}: there is nothing at the path that `data` gives: {shown(data)}")
    source = section["source"] if section else {}
    if not source.get("download"):
        check_there(Path(data) / source.get("path", "."))


def _check(collection: Collection) -> None:
    if collection.samples.empty:
        raise DataError("no image is left; nothing to train on")
    if not collection.tasks:
        raise DataError("no task is left: each has one class alone; give data in which images differ in some label")
    for task in collection.tasks:
        scored = [name for name in task.classes if name != task.background]
        if len(scored) < 2:
            beside = "" if task.background is None else f" beside the background {shown(task.background)!r}"
            raise DataError(f"task {task.name!r} has fewer than two classes with images{beside}: {listed(scored)}")
