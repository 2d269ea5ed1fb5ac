"""In which order people see the items of a queue, and which of them two people see."""

from collections.abc import Sequence

import numpy as np

from longtail.labelling.queue import Item
from longtail.labelling.settings import By


def ordered(items: Sequence[Item], by: By, classes: Sequence[str], seed: int) -> list[Item]:
    """The items as they are shown; of equals the one of the smaller id first.

    By `confidence`: class by class, the surest first. By `prediction_set`: the largest sets first, then the least sure.
    By `label_errors`: the label of the least probability first. At `random`: as the seed has it.
    """
    alike = sorted(items, key=lambda item: item.item)
    if by == "random":
        return [alike[place] for place in np.random.default_rng(seed).permutation(len(alike))]
    if by == "confidence":
        places = {name: place for place, name in enumerate(classes)}
        return sorted(alike, key=lambda item: (places[item.proposed], -item.confidence))
    if by == "prediction_set":
        return sorted(alike, key=lambda item: (-len(item.prediction_set or ()), item.confidence))
    return sorted(alike, key=lambda item: item.confidence)


def seen_twice(items: Sequence[Item], share: float, seed: int) -> list[Item]:
    """The items, a share of them in [0, 1], rounded, marked as those that two people see; drawn at random."""
    chosen = np.random.default_rng([seed, 1]).permutation(len(items))[: round(share * len(items))]
    marked = set(chosen.tolist())
    return [item._replace(twice=place in marked) for place, item in enumerate(items)]
