"""Stored features of a backbone: on disk in place of images, so that a training need not run the backbone again.

features.npy   float16 or float32, n×F, memory-mapped: of every sample of the split as it is, in the split's order; of a
               network that pools maps n×P×F, one vector for each of P positions
views.npy      the same of augmented training images, t×V×F or t×V×P×F: row j is of the j-th training sample; absent
               without views
colours.npy    colour histograms of the split's samples, see data/colours.py; absent where the data set has none
features.json  tasks, image shape and preprocessing as in dataset.json, and which backbone made them
"""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from longtail.artifacts.digests import check_file
from longtail.artifacts.reading import UNREADABLE, reason
from longtail.artifacts.rows import RowsFile
from longtail.data.colours import COLOURS, Counts, open_histograms
from longtail.data.dataset import DatasetInfo
from longtail.data.splits import Split
from longtail.errors import DataError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Precision = Literal["float16", "float32"]
INFO = "features.json"
READ = 2**24  # numbers of maps that are in memory at a time where their means are asked


class FeatureInfo(BaseModel, extra="forbid"):
    """What features.json holds: of which data set, how many samples, how long, with how many augmented views.

    `backbone` is the digest of the weights that made them, by which a training knows that they are its own.
    """

    format_version: Literal[1] = 1
    dataset: DatasetInfo
    backbone: str
    samples: int
    length: int
    positions: int | None = Field(None, exclude_if=lambda positions: positions is None)
    precision: Precision
    views: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Of an image's features: (F,), or (P, F) of a map."""
        return (self.length,) if self.positions is None else (self.positions, self.length)


class FeatureSet:
    """The features of a split's samples, memory-mapped."""

    def __init__(self, path: Path, info: FeatureInfo, training: Ints) -> None:
        """`training`: the positions of the training samples in the split."""
        self.path, self.info = path, info
        self._features = np.load(path / "features.npy", mmap_mode="r")
        self._views = np.load(path / "views.npy", mmap_mode="r") if info.views else None
        grid = info.dataset.colours
        self.colours = None if grid is None else open_histograms(path, info.samples, grid)
        self._row = np.full(info.samples, -1, np.int64)
        self._row[training] = np.arange(len(training))
        expected = {
            "features.npy": (info.samples, *info.shape),
            "views.npy": (len(training), info.views, *info.shape),
        }
        for array in (self._features, self._views):
            if array is not None:
                name = Path(array.filename).name
                if array.shape != expected[name] or array.dtype != info.precision:
                    raise ValueError(f"{name} holds {array.dtype} {array.shape}")
                check_file(path / name)

    @classmethod
    def open(cls, path: Path, split: Split) -> Self:
        """The features in the directory `path`. Raises DataError if they are none, or not of this split's samples."""
        try:
            info = FeatureInfo.model_validate_json((path / INFO).read_text(encoding="utf-8"))
            if info.samples != len(split.samples):
                raise ValueError(f"they are of {info.samples} samples, and the split has {len(split.samples)}")
            return cls(path, info, split.positions("train"))
        except UNREADABLE as error:
            why = reason(error, INFO)
            raise DataError(f"{path} holds no features: {why}; make them with `longtail features`") from error

    def plain(self, samples: Ints) -> Floats:
        """float32 (n, F), or (n, P, F) of maps: the features of samples as they are."""
        features: Floats = self._features[samples].astype(np.float32)
        return features

    def vectors(self, samples: Ints) -> Floats:
        """float32 (n, F): the features of samples, of maps their mean over the positions."""
        if self.info.positions is None:
            return self.plain(samples)
        found, block = (
            np.empty((len(samples), self.info.length), np.float32),
            max(1, READ // math.prod(self.info.shape)),
        )
        for start in range(0, len(samples), block):
            found[start : start + block] = self.plain(samples[start : start + block]).mean(1)
        return found

    def any_view(self, samples: Ints, chances: npt.NDArray[np.float64], *, plain: bool = True) -> Floats:
        """float32 (n, F), or (n, P, F): of each sample one of its views; `chances` (n,) in [0, 1) say which. `plain`:
        whether the plain one is among them; of what is not trained on there is no other.
        """
        found = self.plain(samples)
        if self._views is not None:
            view, row = (chances * (plain + self.info.views)).astype(np.int64) - plain, self._row[samples]
            augmented = (view >= 0) & (row >= 0)
            found[augmented] = self._views[row[augmented], view[augmented]]
        return found


def has_features(path: Path) -> bool:
    """Whether an artifact holds features, and not images."""
    return (path / INFO).is_file()


def write_features(
    path: Path,
    info: FeatureInfo,
    features: Iterable[Floats],
    views: Iterable[Floats],
    train: int,
    colours: Counts | None = None,
) -> None:
    """Write a feature set into the directory: `features` yields blocks of n×F, `views` blocks of n×V×F of the `train`
    training samples; `colours`: the samples' histograms, where the data set has them.

    Raises DataError if a feature is not finite in the precision that they are kept in.
    """
    path.mkdir(parents=True, exist_ok=True)
    _write(path / "features.npy", (info.samples, *info.shape), features, info.precision)
    if info.views:
        _write(path / "views.npy", (train, info.views, *info.shape), views, info.precision)
    if colours is not None:
        np.save(path / COLOURS, colours)
    (path / INFO).write_text(info.model_dump_json(indent=1) + "\n", encoding="utf-8")


def _write(file: Path, shape: tuple[int, ...], blocks: Iterable[Floats], precision: Precision) -> None:
    with RowsFile(file, shape, precision) as kept:
        for block in blocks:
            with np.errstate(over="ignore"):
                rows = block.astype(precision)
            if not np.isfinite(rows).all():
                wider = " in float16: set `precision: float32`" if np.isfinite(block).all() else ""
                raise DataError(f"the features are not finite{wider}")
            kept.add(rows)
