"""How imbalanced a class distribution is: imbalance ratio, minority classes, balance deviation.

Source: the silk paper (auxiliary clustering), Eq. 6 and 7, Tables 1 and 2.
"""

from collections.abc import Sequence

from pydantic import BaseModel


class ImbalanceMeasures(BaseModel, frozen=True, extra="forbid"):
    """The measures of one class distribution, under the paper's names.

    IR ≥ 1 is None when a class is empty. `minority` names the classes with a relative frequency ζ < 1/K, in the order
    of `classes`, and m is their number. BD lies in [0, 1]; 0 is balanced.
    """

    classes: list[str]
    counts: list[int]
    K: int
    IR: float | None
    minority: list[str]
    m: int
    BD: float


def measure(counts: Sequence[int], classes: Sequence[str]) -> ImbalanceMeasures:
    """Measure the distribution in which class `classes[i]` has `counts[i]` samples.

    A distribution without any sample counts as balanced. Raises ValueError if the lengths differ, there is no class,
    or a count is negative.
    """
    if len(counts) != len(classes) or not counts:
        raise ValueError(f"{len(counts)} counts for {len(classes)} classes: one count a class, at least one class")
    if min(counts) < 0:
        raise ValueError(f"a class count is negative: {list(counts)}")
    sizes = [int(count) for count in counts]
    minority = minority_classes(sizes)
    return ImbalanceMeasures(
        classes=list(classes),
        counts=sizes,
        K=len(sizes),
        IR=max(sizes) / min(sizes) if min(sizes) else None,
        minority=[classes[i] for i in minority],
        m=len(minority),
        BD=balance_deviation(sizes),
    )


def imbalance_level(counts: Sequence[int]) -> float | None:
    """|share of the positive (second) class − 50 %| in points, from 0 to 50 (LMLE, Table 2); None if not binary."""
    total = sum(counts)
    return abs(100 * counts[1] / total - 50) if len(counts) == 2 and total else None


def minority_classes(counts: Sequence[int]) -> list[int]:
    """The codes of the classes with ζ < 1/K, compared in integers so that no rounding makes a balanced class small."""
    total = sum(counts)
    return [i for i, count in enumerate(counts) if int(count) * len(counts) < total]


def balance_deviation(counts: Sequence[int]) -> float:
    """BD = d(ζ, e) / d(e, τ), with d the total variation distance.

    e is the balanced distribution; τ is ζ without its minority classes, normalised. Eq. 7 as printed divides by
    d(ζ, τ), which does not give the paper's Table 2 (and can exceed 1); dividing by d(e, τ) gives it. No τ exists for
    a distribution without minority classes: that is the balanced one, and its BD is 0.
    """
    minority = set(minority_classes(counts))
    if not minority:
        return 0.0
    majority = sum(count for i, count in enumerate(counts) if i not in minority)
    zeta = [count / sum(counts) for count in counts]
    e = [1 / len(counts)] * len(counts)
    tau = [0.0 if i in minority else count / majority for i, count in enumerate(counts)]
    # At most 1 by definition; the bound only removes a last-bit excess.
    return min(1.0, total_variation(zeta, e) / total_variation(e, tau))


def total_variation(p: Sequence[float], q: Sequence[float]) -> float:
    """Half of the sum of absolute differences of two distributions, in [0, 1]."""
    return sum(abs(a - b) for a, b in zip(p, q, strict=True)) / 2
