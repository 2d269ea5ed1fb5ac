"""Labels that may be wrong: what is predicted of a sample by others, which its label had no part in, denies it.

Source: Northcutt, Jiang and Chuang, Confident learning, JAIR 2021: the out-of-fold probability of each class, held
against the mean that samples of that class have; here stricter, since classes that overlap are no wrong labels.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from longtail.audit.neighbours import Neighbours
from longtail.granularity.distance import BLOCK, Floats, Ints, blocks

K = 20  # neighbours that vote
OF_GROUP = 4  # of them of one group; alone they are too few to accuse
SURE = 0.8  # probability of another class, at least
DENIED = 0.05  # probability of the label, at most: none of the neighbours has it
FEWEST = 10  # other images that a class needs: of fewer, none being near says nothing
RECOGNISED = 0.2  # mean probability that images of a class have of it, at least: else a denial is nothing special


class Suspect(NamedTuple):
    """A sample's position, the code of its label, that of the class that it seems to be, and that one's probability."""

    position: int
    label: int
    instead: int
    probability: float


class Suspects(NamedTuple):
    """What was found, the surest first; how many labels were judged, and how many are of classes too small, or not
    recognised, so that nothing can be said of them.
    """

    found: list[Suspect]
    judged: int
    unjudged: int


class Votes(NamedTuple):
    """What denies or confirms a label, of each sample (n,): the share of its own class, the class with the largest, and
    that one's share.
    """

    own: Floats
    instead: Ints
    sure: Floats

    @classmethod
    def of(cls, shares: npt.NDArray[np.floating], labels: Ints) -> "Votes":
        """Of shares or probabilities (n, classes); without a label, −1, its own means nothing."""
        rows, instead = np.arange(len(labels)), shares.argmax(1)
        own, sure = (shares[rows, codes].astype(np.float64) for codes in (labels, instead))
        return cls(own, instead, sure)


def votes(found: Neighbours, labels: Ints, groups: npt.NDArray[np.generic], classes: int) -> Votes:
    """The share that each class has among the labelled ones of a sample's K nearest, 0 without any. Of a group the
    nearest OF_GROUP vote: a film is no crowd.
    """
    near = np.where(found.positions >= 0, labels[found.positions], -1)[:, :K]
    group = np.where(near >= 0, np.unique(groups, return_inverse=True)[1][found.positions[:, :K]], -1)
    near[_before(group) >= OF_GROUP] = -1
    rows = blocks(len(labels), max(1, BLOCK // classes))
    parts = [Votes.of(_shares(near[part], classes), labels[part]) for part in rows]
    return Votes(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def _before(groups: Ints) -> Ints:
    """How often each of the groups (n, K) of neighbours has come before in its row."""
    return np.stack([(groups[:, :at] == groups[:, [at]]).sum(1) for at in range(groups.shape[1])], axis=1)


def _shares(near: Ints, classes: int) -> Floats:
    """Of the class codes (n, K) of neighbours, −1 without one."""
    counts = np.zeros((len(near), classes))
    rows = np.broadcast_to(np.arange(len(near))[:, None], near.shape)
    np.add.at(counts, (rows[near >= 0], near[near >= 0]), 1)
    # One labelled neighbour is no evidence: of fewer than half of K the shares stay low.
    shares: Floats = counts / np.maximum(counts.sum(1, keepdims=True), K // 2)
    return shares


def suspects(of: Votes, labels: Ints) -> Suspects:
    """The labels (n,), −1 missing, that the votes deny; of each sample, by what knows it not."""
    known = np.flatnonzero(labels >= 0)
    sizes = np.bincount(labels[known], minlength=int(of.instead.max(initial=-1)) + 1)
    usual = np.bincount(labels[known], of.own[known], minlength=len(sizes)) / np.maximum(sizes, 1)
    judged = known[((sizes > FEWEST) & (usual >= RECOGNISED))[labels[known]]]
    own, instead, sure = of.own[judged], of.instead[judged], of.sure[judged]
    denied = (instead != labels[judged]) & (own <= DENIED)
    wrong = np.flatnonzero(denied & (sure >= np.maximum(SURE, usual[instead])))
    found = [Suspect(int(judged[i]), int(labels[judged[i]]), int(instead[i]), float(sure[i])) for i in wrong]
    return Suspects(
        sorted(found, key=lambda one: (-one.probability, one.position)), len(judged), len(known) - len(judged)
    )
