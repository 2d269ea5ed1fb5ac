"""Binary attributes of digits in a scene: further tasks, as common or as rare as one makes them."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import BaseModel, Field

from longtail.data.dataset import Task
from longtail.errors import DataError
from longtail.sources.classes import ClassName, make_task
from longtail.sources.collection import Pixels
from longtail.sources.quoting import listed

BORDER = 2  # pixels on each side that a digit hardly ever reaches


class Attribute(BaseModel, extra="forbid"):
    """An image has the attribute where all that is said here holds of it.

    `labels`: its label is one of these. `angle`: its digit is turned by an angle from the first up to below the second,
    in degrees of [0, 360). `background`: the mean of its outermost pixels, in grey levels, is in that range.
    """

    labels: list[ClassName] | None = Field(None, min_length=1)
    angle: tuple[float, float] | None = None
    background: tuple[float, float] | None = None


def attribute_tasks(
    attributes: Mapping[str, Attribute],
    samples: pd.DataFrame,
    labels: "pd.Series[str]",
    angles: npt.NDArray[np.float64],
    blocks: Sequence[Pixels],
) -> list[Task]:
    """Write a column of "no" and "yes" for each attribute into `samples`; return their tasks.

    `angles` (n,) in degrees, `blocks` of images n×h×w. Raises DataError if all images have an attribute or none has,
    for a name that is taken, and for a label that no image has.
    """
    known = set(labels)
    backgrounds = np.concatenate([_border_means(block) for block in blocks])
    tasks = []
    for name, attribute in attributes.items():
        if name in samples:
            raise DataError(f"an attribute cannot be named {name!r}: the samples have a column of that name")
        if unknown := sorted(set(attribute.labels or ()) - known):
            raise DataError(
                f"the attribute {name!r} names the labels {listed(unknown)}; there are {listed(sorted(known))}"
            )
        has = np.ones(len(samples), dtype=bool)
        if attribute.labels is not None:
            has &= labels.isin(attribute.labels).to_numpy()
        for values, limits in ((angles, attribute.angle), (backgrounds, attribute.background)):
            if limits is not None:
                has &= (values >= limits[0]) & (values < limits[1])
        if has.all() or not has.any():
            raise DataError(f"{'all' if has.all() else 'no'} images have the attribute {name!r}: nothing to learn")
        samples[name] = np.where(has, "yes", "no")
        tasks.append(make_task(name, ["no", "yes"]))
    return tasks


def _border_means(images: Pixels) -> npt.NDArray[np.float64]:
    inner = np.zeros(images.shape[1:], dtype=bool)
    inner[BORDER:-BORDER, BORDER:-BORDER] = True
    means: npt.NDArray[np.float64] = images[:, ~inner].mean(axis=1)
    return means
