"""Simulated people: they know the classes of a pool's images, err at a rate, and decide by the journal as people do."""

import hashlib
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pandas as pd

from longtail.errors import DataError
from longtail.labelling.queue import LONGEST, Queue
from longtail.labelling.session import Session
from longtail.sources.quoting import listed, shown

AT_ONCE = 50  # images that one has before them
Truth = Mapping[str, str | None]


def read_truth(file: Path, files: Mapping[str, Path]) -> Truth:
    """By item its class, None for what is of none, from a CSV of the columns `file` and `class`; `files`: by item.

    Paths are relative to the CSV. An empty class is none. Raises DataError if it says nothing of an image.
    """
    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
        rows = zip(table["file"], table["class"], strict=True)
        named = {(file.parent / name).resolve(): label or None for name, label in rows}
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"{shown(file, LONGEST)} has no classes of images: {shown(error)}; it needs the columns `file` and `class`"
        ) from error
    if missing := [str(path) for path in files.values() if path.resolve() not in named]:
        raise DataError(
            f"{shown(file, LONGEST)} says nothing of {len(missing)} images of the pool, as {listed(missing)}; give "
            "each a line, with an empty class if it is of none"
        )
    return {item: named[path.resolve()] for item, path in files.items()}


def answer(item: str, who: str, *, right: bool, error_rate: float, seed: int) -> bool:
    """What a simulated person says of an item whose proposal is `right`; wrongly at a rate, always so of the same item.

    A function of the seed, the person and the item: whoever is interrupted says the same again.
    """
    draw = hashlib.sha256(f"{seed} {who} {item}".encode()).digest()[:8]
    return right != (int.from_bytes(draw, "big") < error_rate * 2**64)


def decide_all(queue: Path, truth: Truth, error_rate: float, seed: int) -> None:
    """Decide all that is open of a queue, as two people where two are to see it. Raises DataError if somebody else has
    the queue.
    """
    with closing(Session(Queue.open(queue))) as session:
        for who in ("simulated 1", "simulated 2"):
            while items := session.next(who, AT_ONCE):
                for item in items:
                    right = truth[item.item] == item.proposed
                    said = answer(item.item, who, right=right, error_rate=error_rate, seed=seed)
                    session.decide(who, item.item, "yes" if said else "no")
