"""What a source is asked for, and what it gives: samples, tasks and a stream of images."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import BaseModel

from longtail.data.dataset import Task
from longtail.data.injection import NONE, Injection
from longtail.data.photographs import Cuts
from longtail.data.preprocessing import Fit
from longtail.data.shards import Block
from longtail.sources.deep_grey import DeepGrey
from longtail.sources.limits import Limits
from longtail.sources.problems import Problems

Pixels = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Request:
    """What every source is asked for; `scratch` is an existing directory for temporary files.

    `jpeg_quality`: that of the JPEGs in which decoded images wait; None: as pixels.
    """

    image_shape: Shape
    scratch: Path
    workers: int = 1
    seed: int = 0
    problems: Problems = field(default_factory=Problems)
    limits: Limits = field(default_factory=Limits)
    deep_grey: DeepGrey = field(default_factory=DeepGrey)
    jpeg_quality: int | None = None


@dataclass(frozen=True)
class Collection:
    """What a source gives: `samples` as in `write_dataset`, and blocks of images in the same order, or where
    each is cut out of a photograph.

    `imbalance`: what an example wants injected into its training subset; data of one's own have theirs already. `fit`:
    how its images got their shape; None where that took more than the image, such as landmarks.
    """

    samples: pd.DataFrame
    tasks: list[Task]
    images: Iterable[Block] | Cuts
    provenance: str
    licence: str
    imbalance: Injection = NONE
    fit: Fit | None = "stretch"


class Source(ABC, BaseModel, extra="forbid"):
    """A kind of source: its fields are the user's configuration."""

    @abstractmethod
    def load(self, root: Path, request: Request) -> Collection:
        """Read the source below `root`.

        Bad samples are added to `request.problems` and left out of the collection. Raises DataError when nothing
        can be read at all.
        """
