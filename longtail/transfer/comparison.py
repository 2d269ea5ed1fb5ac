"""A source beside targets: what `longtail similarity` says, as data, as text, and as a choice of classes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import yaml

from longtail.errors import DataError
from longtail.sources.quoting import listed, printable, shown
from longtail.transfer.domain import Domain
from longtail.transfer.selection import select_classes
from longtail.transfer.settings import GAMMA, LEAST
from longtail.transfer.similarity import distances_of_classes, domain_distance, similarity

NEAREST = 5  # classes of the source that are named beside each target


@dataclass(frozen=True)
class Comparison:
    """A source beside targets. `distances` has the distance to each target; `own` (targets, m) those of every class of
    the source; `dropped` the images of each class that was too small; `selected` the classes to pretrain on.
    """

    source: Domain
    targets: Sequence[Domain]
    distances: list[float]
    own: list[list[float]]
    gamma: float
    least: int
    dropped: dict[str, int] = field(default_factory=dict)
    selected: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """What programs read: names as they are, distances and similarities in full."""
        return {
            "source": {
                "name": self.source.name,
                "classes": len(self.source.classes),
                "least": self.least,
                "made_of": self.source.images,
            },
            "dropped": self.dropped,
            "gamma": self.gamma,
            "targets": [
                {
                    "name": target.name,
                    "classes": len(target.classes),
                    "images": int(target.counts.sum()),
                    "made_of": target.images,
                    "distance": distance,
                    "similarity": float(similarity(distance, self.gamma)),
                    "of_classes": dict(zip(self.source.classes, similarity(own, self.gamma).tolist(), strict=True)),
                }
                for target, distance, own in zip(self.targets, self.distances, self.own, strict=True)
            ],
            "selected": self.selected,
        }

    def text(self) -> str:
        """What a person reads: a line on the source, one a target, its nearest classes below it."""
        lines = [f"source {shown(self.source.name)}: {_size(self.source)}; γ = {self.gamma:g}"]
        if self.dropped:
            lines.append(f"  dropped, with fewer than {self.least} training images: {listed(self.dropped)}")
        for target, distance, own in zip(self.targets, self.distances, self.own, strict=True):
            lines.append(f"target {shown(target.name)}: {_size(target)}")
            if self.source.images != target.images:
                made_of = [one.images or "unknown" for one in (target, self.source)]
                lines.append(
                    f"  its images are {made_of[0]}, those of the source {made_of[1]}: the distance is of that too; "
                    "make both alike, if the difference is not meant"
                )
            lines.append(f"  distance {distance:.3f}, similarity {similarity(distance, self.gamma):.3f}")
            nearest = np.argsort(own, kind="stable")[:NEAREST]
            named = [f"{shown(self.source.classes[i], 40)} {similarity(own[i], self.gamma):.3f}" for i in nearest]
            lines.append(f"  nearest classes: {', '.join(named)}")
        if self.selected:
            lines.append(
                f"selected {len(self.selected)} of {len(self.source.classes)} classes: {listed(self.selected)}"
            )
        return "\n".join(lines)


def _size(domain: Domain) -> str:
    return f"{len(domain.classes):,} classes, {domain.counts.sum():,} training images"


def compare(
    source: Domain,
    targets: Sequence[Domain],
    *,
    gamma: float = GAMMA,
    least: int = LEAST,
    select: Sequence[int] = (),
) -> Comparison:
    """Compare the source's classes of `least` images or more with each target, and select classes if asked (see
    `select_classes`). Raises DataError if they cannot be compared, or no class is left.
    """
    if not np.isfinite(gamma):
        raise DataError(f"γ is {gamma}; give --gamma a number")
    kept = source.of_at_least(least)
    small = {name: int(n) for name, n in zip(source.classes, source.counts, strict=True) if n < least}
    distances = [domain_distance(kept, target) for target in targets]
    own = [distances_of_classes(kept, target).tolist() for target in targets]
    selected = select_classes(kept, targets, select) if select else []
    return Comparison(kept, targets, distances, own, gamma, least, small, selected)


def classes_in_yaml(comparison: Comparison) -> str:
    """The selected classes as parameters: `split.classes`, and below the task what `classes` of a source takes."""
    targets = ", ".join(printable(shown(target.name)) for target in comparison.targets)
    head = f"# The classes of {shown(comparison.source.name)} that are the most similar to {targets}."
    chosen = {"classes": {comparison.source.task: comparison.selected}}
    choice = yaml.safe_dump(chosen, allow_unicode=True, sort_keys=False, width=100)
    return f"{head}\n{choice}"
