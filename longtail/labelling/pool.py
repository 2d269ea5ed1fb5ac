"""The candidates of a pool: each image once, with the class that a model answers surely enough."""

import hashlib
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from longtail.inference.answerer import Answerer, Answers, TaskAnswerer
from longtail.inference.files import Picture
from longtail.labelling.pictures import write_picture
from longtail.labelling.queue import LONGEST, Counts, Item
from longtail.metrics.scores import Floats
from longtail.sources.quoting import printable, shown

BLOCK = 32  # images whose bytes are in memory at a time
NAMED = 10  # files without an image that are named


class Found(NamedTuple):
    """The items, in no order yet, and how many images were looked at for them."""

    items: list[Item]
    counts: Counts


def candidates(
    pool: Iterable[Picture],
    answerer: Answerer,
    task: TaskAnswerer,
    images: Path,
    confidence: float,
    floors: Floats | None,
) -> Found:
    """The pictures whose answer on a task has a probability above `confidence`, written into the folder `images`.

    `floors` (K,): with which least probability a class is in the prediction set; None for no sets.
    """
    seen: set[str] = set()
    items: list[Item] = []
    counts = dict.fromkeys(("looked_at", "unreadable", "duplicates", "background", "unsure"), 0)
    whole = _told(_unique(pool, seen, counts), counts)
    how = answerer.embedder.blueprint.preprocessing
    while block := list(islice(whole, BLOCK)):
        answers = answerer.answer(np.stack([one.pixels for one in block if one.pixels is not None]))[task.task.name]
        for place, one in enumerate(block):
            item = _item(one, task, answers, place, floors)
            if item.proposed == task.task.background:
                counts["background"] += 1
            elif item.confidence <= confidence:
                counts["unsure"] += 1
            else:
                write_picture(one.content, images / f"{item.item}.jpg", how.white if how else None)
                items.append(item)
    return Found(items, Counts(**counts, items=len(items)))


def _item(one: Picture, task: TaskAnswerer, answers: Answers, place: int, floors: Floats | None) -> Item:
    classes, shares = task.task.classes, answers.probabilities[place]
    inside = None if floors is None else tuple(classes[code] for code in np.flatnonzero(shares >= floors))
    return Item(
        hashlib.sha256(one.content).hexdigest(),
        printable(one.path),
        classes[answers.codes[place]],
        float(answers.probability[place]),
        inside,
    )


def _unique(pool: Iterable[Picture], seen: set[str], counts: dict[str, int]) -> Iterator[Picture]:
    """The pictures, of those with the same bytes the first."""
    for one in pool:
        counts["looked_at"] += 1
        digest = hashlib.sha256(one.content).hexdigest()
        if one.pixels is not None and digest in seen:
            counts["duplicates"] += 1
        else:
            seen.add(digest)
            yield one


def _told(pool: Iterable[Picture], counts: dict[str, int]) -> Iterator[Picture]:
    """The pictures that are images; of the others the first are named on stderr."""
    for one in pool:
        if one.pixels is not None:
            yield one
            continue
        counts["unreadable"] += 1
        if counts["unreadable"] <= NAMED:
            print(f"{shown(one.path, LONGEST)}: {one.fault}", file=sys.stderr, flush=True)
    if counts["unreadable"] > NAMED:
        print(f"and {counts['unreadable'] - NAMED} more files are no images", file=sys.stderr, flush=True)
