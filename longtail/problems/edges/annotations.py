"""Ground truth as BSDS500 has it: a .mat file an image, in which several people have drawn boundaries."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from longtail.errors import DataError
from longtail.problems.edges.matlab import read_matlab
from longtail.sources.quoting import listed, shown


def read_boundaries(file: Path, content: bytes | None = None) -> npt.NDArray[np.bool_]:
    """The boundary pixels of each annotator, A×H×W with A ≥ 1; `content`: of a file in an archive.

    Raises DataError if the file has none, or others.
    """
    annotators = read_matlab(file, "groundTruth", content).ravel()
    if not len(annotators):
        raise DataError(f"{shown(file)} has no annotation: its `groundTruth` is empty; leave the image out")
    drawn = [_boundaries(annotator, file, place) for place, annotator in enumerate(annotators, 1)]
    if len(sizes := {one.shape for one in drawn}) > 1:
        raise DataError(f"the annotators of {shown(file)} have maps of several sizes: {listed(sorted(sizes))}")
    return np.stack(drawn)


def _boundaries(annotator: Any, file: Path, place: int) -> npt.NDArray[np.bool_]:
    fields = getattr(annotator, "dtype", np.dtype(float)).names or ()
    boundaries = np.asarray(annotator["Boundaries"]) if "Boundaries" in fields and annotator.size == 1 else None
    if boundaries is not None and boundaries.dtype == object and boundaries.size == 1:  # of a cell, not of an array
        boundaries = np.asarray(boundaries.item())
    if boundaries is None or boundaries.ndim != 2 or not boundaries.size or boundaries.dtype.kind not in "biuf":
        raise DataError(f"annotator {place} of {shown(file)} has no map `Boundaries`; it is another kind of .mat file")
    if boundaries.dtype.kind == "f" and not np.isfinite(boundaries).all():
        raise DataError(f"annotator {place} of {shown(file)} has NaN or infinity in `Boundaries`; mend the file")
    return np.asarray(boundaries != 0)
