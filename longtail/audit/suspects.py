"""Labels that may be wrong: what is predicted of a sample by others, which its label had no part in, denies it.

Source: Northcutt, Jiang and Chuang, Confident learning, JAIR 2021: the out-of-fold probability of each class, held
against the mean that samples of that class have; here stricter, since classes that overlap are no wrong labels.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from longtail.audit.neighbours import Neighbours
from longtail.granularity.distance import Floats, Ints

K = 20  # neighbours that vote
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


def shares(found: Neighbours, labels: Ints, classes: int) -> Floats:
    """The share that each class has among the labelled ones of a sample's K nearest, (n, classes); 0 without any."""
    near = np.where(found.positions >= 0, labels[found.positions], -1)[:, :K]
    rows = np.broadcast_to(np.arange(len(labels))[:, None], near.shape)
    votes = np.zeros((len(labels), classes))
    np.add.at(votes, (rows[near >= 0], near[near >= 0]), 1)
    counted: Floats = votes / np.maximum(votes.sum(1, keepdims=True), 1)
    return counted


def suspects(probabilities: npt.NDArray[np.floating], labels: Ints) -> Suspects:
    """The labels (n,), −1 missing, that the probabilities (n, classes) deny; of each sample, by what knows it not."""
    known = np.flatnonzero(labels >= 0)
    sizes = np.bincount(labels[known], minlength=probabilities.shape[1])
    own = probabilities[known, labels[known]]
    usual = np.bincount(labels[known], own, minlength=len(sizes)) / np.maximum(sizes, 1)
    judged = known[((sizes > FEWEST) & (usual >= RECOGNISED))[labels[known]]]
    instead = probabilities[judged].argmax(1)
    sure = probabilities[judged, instead]
    denied = (instead != labels[judged]) & (probabilities[judged, labels[judged]] <= DENIED)
    wrong = np.flatnonzero(denied & (sure >= np.maximum(SURE, usual[instead])))
    found = [Suspect(int(judged[i]), int(labels[judged[i]]), int(instead[i]), float(sure[i])) for i in wrong]
    return Suspects(
        sorted(found, key=lambda one: (-one.probability, one.position)), len(judged), len(known) - len(judged)
    )
