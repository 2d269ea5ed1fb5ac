"""The four measures by plain loops, as chapter 6.2.3 has them."""

import math
from collections.abc import Iterable, Sequence


def classes_of(labels: Sequence[int]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for i, label in enumerate(labels):
        if label >= 0:
            found.setdefault(label, []).append(i)
    return found


def mean(values: Iterable[float]) -> float:
    every = list(values)
    return sum(every) / len(every)


def share(own: float, other: float) -> float:
    if other == 0:
        return 1.0 if own == 0 else math.inf
    return own / other


def counted(labels: Sequence[int]) -> list[int]:
    """Samples that are not alone in their class."""
    return [i for members in classes_of(labels).values() for i in members if len(members) > 1]


def medoids(d: Sequence[Sequence[float]], labels: Sequence[int]) -> dict[int, int]:
    found = {}
    for label, members in classes_of(labels).items():
        sums = {i: sum(d[i][j] for j in members) for i in members}
        found[label] = next(i for i in members if sums[i] <= min(sums.values()) * (1 + 1e-9))
    return found


def rs(d: Sequence[Sequence[float]], labels: Sequence[int]) -> float:
    classes = classes_of(labels)
    ratios = []
    for i in counted(labels):
        a = mean(d[i][j] for j in classes[labels[i]] if j != i)
        b = min(mean(d[i][j] for j in members) for label, members in classes.items() if label != labels[i])
        ratios.append(share(a, b))
    return mean(ratios)


def rsm(d: Sequence[Sequence[float]], labels: Sequence[int], centres: dict[int, int] | None = None) -> float:
    centres = medoids(d, labels) if centres is None else centres
    return mean(
        share(d[i][centres[labels[i]]], min(d[i][m] for label, m in centres.items() if label != labels[i]))
        for i in counted(labels)
    )


def rank(d: Sequence[Sequence[float]], labels: Sequence[int]) -> float:
    classes = classes_of(labels)
    n = sum(len(members) for members in classes.values())
    scores = []
    for i in counted(labels):
        own = sorted(d[i][j] for j in classes[labels[i]] if j != i)
        others = [d[i][j] for label, members in classes.items() if label != labels[i] for j in members]
        precisions = []
        for j, distance in enumerate(own, start=1):
            R = j + sum(other <= distance * (1 + 1e-9) for other in others)
            precisions.append(j / R)
        scores.append(mean(precisions))
    return n / (n - 1) * (1 - mean(scores))


def rankm(d: Sequence[Sequence[float]], labels: Sequence[int], centres: dict[int, int] | None = None) -> float:
    centres = medoids(d, labels) if centres is None else centres
    k = len(centres)
    terms = []
    for i in counted(labels):
        own = d[i][centres[labels[i]]]
        R = 1 + sum(d[i][m] <= own * (1 + 1e-9) for label, m in centres.items() if label != labels[i])
        terms.append(1 - 1 / R)
    return k / (k - 1) * mean(terms)
