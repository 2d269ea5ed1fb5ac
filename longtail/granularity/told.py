"""What `longtail granularity` prints: text for people, JSON for programs."""

import json
import math
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from longtail.data.dataset import Task
from longtail.errors import DataError
from longtail.granularity.distance import euclidean
from longtail.granularity.granularity import Granularity, granularity_of
from longtail.granularity.points import Images, open_images
from longtail.sources.quoting import shown

CLASSES = 5  # that the text names


class Measured(NamedTuple):
    """A task's granularity, by what it was measured, of which subset, and the ids of the samples that it names."""

    task: str
    by: str
    subset: str
    granularity: Granularity
    ids: list[str]


def measured(
    source: Path, split: Path | None, task: str | None, subset: str, *, exact: bool | None, pairs: int
) -> list[Measured]:
    """The granularity of a task of an artifact, or of all of them; those of which there is nothing to measure are named
    on stderr. Raises DataError if that is all.
    """
    images, found, faults = open_images(source, split), [], []
    for one in images.asked(task):
        try:
            found.append(_of_task(images, one, subset, exact=exact, pairs=pairs))
        except DataError as error:
            faults.append(str(error))
    if not found:
        raise DataError(*faults)
    for fault in faults:
        print(fault, file=sys.stderr)
    return found


def _of_task(images: Images, task: Task, subset: str, *, exact: bool | None, pairs: int) -> Measured:
    at = images.positions(subset)
    labels = images.labels(task)[at]
    if not (labels >= 0).any():
        of = "" if subset == "all" else f" of {_of(subset)}"
        raise DataError(f"no image{of} has a label of {shown(task.name)!r}: there is nothing to compare")
    found = granularity_of(euclidean(images.points(task, at)), labels, task.classes, exact=exact, pairs=pairs)
    if found is None:
        raise DataError(
            f"granularity compares classes: of {_of(subset)} fewer than two of {shown(task.name)!r} have images, or "
            "none has two"
        )
    return Measured(task.name, images.by, subset, found, images.samples["id"].astype(str).iloc[at].tolist())


def _of(subset: str) -> str:
    return "all images" if subset == "all" else f"the {subset} subset"


def values(found: list[Measured]) -> str:
    """JSON: a task a key. An infinite measure, and what was not worked out, are null."""
    return json.dumps({one.task: _values(one) for one in found}, indent=1)


def _values(one: Measured) -> dict[str, Any]:
    granularity = asdict(one.granularity)
    for measure in ("rs", "rsm"):
        if granularity[measure] == math.inf:
            granularity[measure] = None
    for pair in granularity["pairs"]:
        pair |= {kind: [one.ids[at] for at in pair[kind]] for kind in ("medoids", "between")}
    return {"by": one.by, "subset": one.subset, **granularity}


def text(found: list[Measured]) -> str:
    """For people: a paragraph a task."""
    return "\n\n".join(_text(one) for one in found)


def _text(one: Measured) -> str:
    found = one.granularity
    left_out = {f"{found.missing:,} without a label that counts": found.missing, f"{found.alone:,} alone": found.alone}
    notes = "".join(f", {note}" for note, count in left_out.items() if count)
    lines = [
        f"{shown(one.task)}: RankM {found.rankm:.3f}, by {one.by}, of {_of(one.subset)}",
        f"  {found.samples:,} images of {found.classes:,} classes{notes}",
        "  0: every image is nearest to the medoid of its own class; "
        f"{found.chance:.3f}: labels drawn at random; 1: none is nearest",
        f"  Rank {number(found.rank)}, RS {number(found.rs)}, RSM {number(found.rsm)}",
    ]
    if found.rank is None:
        lines.append("  (Rank and RS take the square of the images: --exact works them out)")
    lines += [
        "finest classes",
        *_table(
            [[f"{c.rankm:.3f}", shown(c.name), f"{c.samples:,} images"] for c in found.by_class[:CLASSES] if c.rankm]
        ),
    ]
    if not found.pairs and found.rankm:
        return "\n".join(lines)
    lines += [
        "finest pairs of classes, and which images of them lean most to the other",
        *_table(
            [
                [
                    f"{pair.rankm:.3f}",
                    " – ".join(map(shown, pair.classes)),
                    " and ".join(shown(one.ids[at]) for at in pair.between),
                ]
                for pair in found.pairs
            ]
        ),
    ]
    return "\n".join(lines)


def number(value: float | None) -> str:
    """A measure, as a person reads it."""
    return "not worked out" if value is None else "infinite" if value == math.inf else f"{value:.3f}"


def _table(rows: list[list[str]]) -> list[str]:
    if not rows:
        return ["  none: every image is nearest to its own class"]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
