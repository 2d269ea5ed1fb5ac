"""Which classes of a source to pretrain on: greedily the most similar to each target, each once (section 4.3.2)."""

from collections.abc import Sequence

import numpy as np

from longtail.errors import DataError
from longtail.transfer.domain import Domain
from longtail.transfer.similarity import distances_of_classes


def select_classes(source: Domain, targets: Sequence[Domain], counts: Sequence[int]) -> list[str]:
    """The top `counts[j]` classes of the source by their own similarity to target j, of all targets together, in the
    order of the source.

    One count is that of every target. Of classes that are equally similar the earlier is taken. Raises DataError if
    there are neither one count nor one for each target, or the source has fewer classes.
    """
    if len(counts) not in (1, len(targets)):
        raise DataError(f"{len(counts)} numbers of classes to select for {len(targets)} targets: give one, or one each")
    if max(counts) > len(source.classes):
        raise DataError(f"{max(counts)} classes are asked for, and the source has {len(source.classes)}")
    chosen: set[int] = set()
    for target, count in zip(targets, list(counts) * (len(targets) if len(counts) == 1 else 1), strict=True):
        nearest = np.argsort(distances_of_classes(source, target), kind="stable")
        chosen.update(nearest[:count].tolist())
    return [source.classes[place] for place in sorted(chosen)]
