"""What a report shows of the data itself: how fine its classes are, images that are there twice, labels to look at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from longtail.audit.audit import TaskAudit
from longtail.granularity.granularity import Granularity

Picture = npt.NDArray[np.uint8]  # H × W × C with C = 1 or 3


@dataclass(frozen=True, eq=False)
class PairPictures:
    """Two classes that are hard to tell apart: their names, the RankM of the two alone in [0, 1], and for each of them
    the picture of its medoid and that of the image that leans most to the other.
    """

    classes: tuple[str, str]
    rankm: float
    medoids: Sequence[Picture]
    between: Sequence[Picture]


@dataclass(frozen=True)
class Fineness:
    """How fine the classes are to the embedding of each model, by its name, and the finest pairs to the first."""

    models: Mapping[str, Granularity]
    pairs: Sequence[PairPictures] = ()

    @property
    def lead(self) -> Granularity:
        """To the model that leads."""
        return next(iter(self.models.values()))

    def rows(self) -> tuple[list[str], list[list[str]]]:
        """The table of the models: its headings, and its cells."""
        cells = [[name, f"{found.rankm:.3f}", _finite(found.rsm)] for name, found in self.models.items()]
        return ["embedding of", "RankM", "RSM"], cells


@dataclass(frozen=True, eq=False)
class SuspectPicture:
    """A validation image whose label may be wrong: its label, and the class that it looks like instead, with the
    probability in [0, 1].
    """

    id: str
    image: Picture
    label: str
    instead: str
    probability: float


@dataclass(frozen=True)
class Doubts:
    """What is doubtful of a task: its audit, and pictures of labels that may be wrong, the surest first."""

    audit: TaskAudit
    margin: float
    needed: int
    suspects: Sequence[SuspectPicture] = ()


@dataclass(frozen=True, eq=False)
class CopyPictures:
    """Two images of different groups that are near-duplicates, and of each what is known: its id, its subset and its
    classes. `worse`: they lie in two subsets, or have two classes.
    """

    ids: tuple[str, str]
    images: Sequence[Picture]
    about: tuple[str, str]
    worse: bool


@dataclass(frozen=True)
class Copies:
    """How many near-duplicates there are by the embedding of the model `by`: of all `pairs`, those `across` subsets,
    and those of two classes.
    """

    by: str
    pairs: int
    across: int
    conflicts: int
    pictures: Sequence[CopyPictures] = ()


def _finite(value: Any) -> str:
    return f"{value:.3f}" if np.isfinite(value) else "infinite"
