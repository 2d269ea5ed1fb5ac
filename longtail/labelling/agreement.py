"""Whether people agree: Cohen's κ over the items that two of them decided.

Source: Cohen, A coefficient of agreement for nominal scales, 1960.
"""

from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np

from longtail.labelling.decisions import Decided, decisions
from longtail.labelling.journal import Choice

CHOICES: tuple[Choice, ...] = ("yes", "no", "unsure")


class Agreement(NamedTuple):
    """Over the pairs of people who decided the same item: on how many items, the share in [0, 1] on which they said the
    same (None without an item), and κ in [−1, 1], None where it is undefined: everybody always said the same one thing.
    """

    items: int
    agreed: float | None
    kappa: float | None


def agreement(queue: Path) -> tuple[Agreement, dict[tuple[str, str], Agreement]]:
    """Of all people of a queue directory together, and of each two of them.

    In a pair the person whose name comes first is the first of κ's two raters.
    """
    pairs = _pairs(decisions(queue).values())
    together = [said for of_pair in pairs.values() for said in of_pair]
    return measured(together), {names: measured(of_pair) for names, of_pair in sorted(pairs.items())}


def measured(said: Sequence[tuple[Choice, Choice]]) -> Agreement:
    """The agreement of two raters, from what each said of the same items."""
    if not said:
        return Agreement(0, None, None)
    table = np.zeros((len(CHOICES), len(CHOICES)))
    for one, other in said:
        table[CHOICES.index(one), CHOICES.index(other)] += 1
    observed = float(table.trace() / table.sum())
    expected = float(table.sum(0) @ table.sum(1) / table.sum() ** 2)
    return Agreement(len(said), observed, None if expected == 1 else (observed - expected) / (1 - expected))


def _pairs(decided: Iterable[Decided]) -> dict[tuple[str, str], list[tuple[Choice, Choice]]]:
    found: dict[tuple[str, str], list[tuple[Choice, Choice]]] = {}
    for one in decided:
        said = {who: entry.decision for who, entry in one.by_person.items() if entry.decision is not None}
        for first, second in combinations(sorted(said), 2):
            found.setdefault((first, second), []).append((said[first], said[second]))
    return found
