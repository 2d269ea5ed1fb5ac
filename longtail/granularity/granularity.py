"""How fine the classes of a labelled set are: the measures, class by class, and the pairs that are hardest to tell."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from longtail.granularity.distance import Distance, Floats, Ints, blocks, least
from longtail.granularity.labelled import Labelled, medoids
from longtail.granularity.measures import ToMedoids, rank, rankm, rs, rsm, to_medoids

EXACT = 10_000  # samples up to which RS and Rank are worked out, which take the square in distances
PAIRS = 10
SHUFFLED, MOST_SHUFFLES = 20_000, 20
PAIRED = 2**24  # pairs of classes that are ordered at a time


@dataclass(frozen=True)
class FineClass:
    """A class, its number of samples, and their RankM in [0, 1]; None where it is a sample alone."""

    name: str
    samples: int
    rankm: float | None


@dataclass(frozen=True)
class FinePair:
    """Two classes, and the RankM of their samples alone: the share that lies no nearer to the medoid of its own class.

    `medoids`: the positions of the two; `between`: in each class that of the sample that leans most to the other.
    """

    classes: tuple[str, str]
    rankm: float
    medoids: tuple[int, int]
    between: tuple[int, int]


@dataclass(frozen=True)
class Granularity:
    """RS and RSM (at least 0, infinite where a sample lies upon another class), Rank and RankM (in [0, 1]) of `samples`
    of so many `classes`; `rs` and `rank` are None where they were not worked out.

    `alone` of the samples are alone in their class and count in no measure; `missing` have no label. `chance` is the
    RankM to be expected of labels drawn at random. `by_class` has the finest class first, `pairs` the finest pair.
    """

    samples: int
    missing: int
    alone: int
    classes: int
    rs: float | None
    rsm: float
    rank: float | None
    rankm: float
    chance: float
    by_class: list[FineClass]
    pairs: list[FinePair]


def granularity_of(
    distance: Distance, labels: Ints, names: Sequence[str], *, exact: bool | None = None, pairs: int = PAIRS
) -> Granularity | None:
    """The granularity of samples with these class codes (n,), −1 where the label is missing; `names`: of all classes.

    `exact`: whether RS and Rank, which take n² distances, are worked out; by default up to EXACT samples. None where
    there is nothing to measure: fewer than two classes have samples, or none has two.
    """
    labelled = Labelled.of(labels)
    n, k = len(labelled.positions), len(labelled.codes)
    counted = labelled.accompanied
    if k < 2 or not counted.any():
        return None
    exact = n <= EXACT if exact is None else exact
    centres = medoids(distance, labelled)
    found = to_medoids(distance, labelled, centres)
    return Granularity(
        samples=n,
        missing=len(labels) - n,
        alone=int((~counted).sum()),
        classes=k,
        rs=rs(distance, labelled) if exact else None,
        rsm=rsm(labelled, found),
        rank=rank(distance, labelled) if exact else None,
        rankm=rankm(found.ranks[counted], k),
        chance=chance(distance, labelled),
        by_class=_by_class(labelled, found, names),
        pairs=_finest(distance, labelled, centres, found, names, pairs),
    )


def chance(distance: Distance, labelled: Labelled) -> float:
    """The RankM to be expected of labels drawn at random, for classes of these sizes: the mean of as many shuffles as
    SHUFFLED samples make, one at least.

    Where every rank is as likely it is 0.5 of two classes and 0.79 of ten. The medoid of a large class lies nearer to
    the middle of all samples than that of a small one, so that of uneven classes it is far less.
    """
    rng, k = np.random.default_rng(0), len(labelled.codes)
    drawn = []
    for _ in range(max(1, min(MOST_SHUFFLES, SHUFFLED // len(labelled.positions)))):
        shuffled = replace(labelled, positions=rng.permutation(labelled.positions))
        found = to_medoids(distance, shuffled, medoids(distance, shuffled))
        drawn.append(rankm(found.ranks[shuffled.accompanied], k))
    return float(np.mean(drawn))


def _by_class(labelled: Labelled, found: ToMedoids, names: Sequence[str]) -> list[FineClass]:
    k = len(labelled.codes)
    parts = np.split(found.ranks, labelled.starts[1:])
    classes = [
        FineClass(names[code], len(ranks), rankm(ranks, k) if len(ranks) > 1 else None)
        for code, ranks in zip(labelled.codes, parts, strict=True)
    ]
    return sorted(classes, key=lambda one: -1.0 if one.rankm is None else one.rankm, reverse=True)


def _finest(
    distance: Distance, labelled: Labelled, centres: Ints, found: ToMedoids, names: Sequence[str], most: int
) -> list[FinePair]:
    """The pairs of highest RankM, at most so many, none of which every sample is nearest to its own; of equals that
    with more samples first.
    """
    first, second, fine = _most_wrong(found, np.where(labelled.sizes > 1, labelled.sizes, 0), most)
    return [
        FinePair(
            (names[labelled.codes[a]], names[labelled.codes[b]]),
            float(share),
            (int(centres[a]), int(centres[b])),
            (_leaning(distance, labelled, centres, a, b), _leaning(distance, labelled, centres, b, a)),
        )
        for a, b, share in zip(first, second, fine, strict=True)
    ]


def _most_wrong(found: ToMedoids, counted: Ints, most: int) -> tuple[Ints, Ints, Floats]:
    """The places of the two classes of those pairs, and their RankM; `counted` (k,): the samples that count. Row by
    row, for of many classes all pairs are the largest thing there is.
    """
    k, counts = len(counted), counted > 0
    first: Ints = np.empty(0, np.int64)
    second, of = first, first
    fine: Floats = np.empty(0)
    for rows in blocks(k, max(1, PAIRED // k)):
        a, b = np.arange(k)[rows, None], np.arange(k)
        wrong = found.nearer[rows] * counts[rows, None] + found.nearer[:, rows].T * counts
        a, b = (place[(wrong > 0) & (a < b)] for place in np.broadcast_arrays(a, b))
        here = counted[a] + counted[b]
        first, second, of = np.r_[first, a], np.r_[second, b], np.r_[of, here]
        fine = np.r_[fine, wrong[a - rows.start, b] / here]
        order = np.lexsort((-of, -fine))[:most]
        first, second, fine, of = first[order], second[order], fine[order], of[order]
    return first, second, fine


def _leaning(distance: Distance, labelled: Labelled, centres: Ints, own: int, other: int) -> int:
    """The position of the sample of a class whose distance to the other's medoid is least beside that to its own."""
    members = labelled.members(own)
    found: Floats = distance(members, centres[[own, other]])
    with np.errstate(invalid="ignore"):
        lean = np.nan_to_num(found[:, 1] / found.sum(1), nan=0.5)
    return int(members[least(lean)])
