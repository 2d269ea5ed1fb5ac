"""Domain similarity: the Earth Mover's Distance between the class means of two domains (Eq. 4.1 to 4.3).

Source: Cui, "Learning from fine-grained and long-tailed visual data", section 4.3; Cui et al., CVPR 2018.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from longtail.errors import DataError
from longtail.sources.quoting import shown
from longtail.transfer.domain import Domain
from longtail.transfer.settings import GAMMA

Floats = npt.NDArray[np.float64]
FAR = 1e9  # how many times the smallest distance that counts the largest may be


def class_distances(source: Domain, target: Domain) -> Floats:
    """(m, n): Euclidean distances between the class means of both (Eq. 4.1).

    Raises DataError if they cannot be compared: features of another length, or of another backbone.
    """
    from scipy.spatial.distance import cdist

    lengths = source.means.shape[1], target.means.shape[1]
    if lengths[0] != lengths[1]:
        raise DataError(
            f"{shown(source.name)} has {lengths[0]} features an image and {shown(target.name)} has {lengths[1]}: make "
            "both by the same backbone"
        )
    if source.backbone and target.backbone and source.backbone != target.backbone:
        raise DataError(
            f"the features of {shown(source.name)} and {shown(target.name)} are of two backbones, and "
            "distances between them mean nothing: make both by the same weights"
        )
    distances: Floats = cdist(source.means, target.means)
    return distances


def earth_movers_distance(distances: Floats, supply: npt.ArrayLike, demand: npt.ArrayLike) -> float:
    """The least work of moving all of `supply` (m,) to `demand` (n,), a unit of mass over `distances` (m, n) (Eq. 4.2).

    Both are brought to a mass of 1, so that it does not matter which unit they are in; the flow is exact, by the
    simplex method. Raises DataError for masses that are negative, not finite or none at all, and such distances.
    """
    given, asked = (_shares(np.asarray(mass, np.float64)) for mass in (supply, demand))
    if not (np.isfinite(distances).all() and (distances >= 0).all()):
        raise DataError("distances between classes are finite and not negative; their mean features are not finite")
    costs = distances[given > 0][:, asked > 0]
    return _least_work(costs, given[given > 0], asked[asked > 0])


def _shares(mass: Floats) -> Floats:
    if not np.isfinite(mass).all() or (mass < 0).any() or not mass.sum():
        raise DataError("the masses of classes are finite, not negative, and not all 0")
    shares: Floats = mass / mass.sum()
    return shares


def _least_work(costs: Floats, supply: Floats, demand: Floats) -> float:
    from scipy.optimize import linprog

    if 1 in costs.shape:  # all goes to, or comes from, one class
        return float(np.dot(supply @ costs, demand))
    # The solver forgives 10⁻⁷: in a unit in which the smallest class has a mass of 1 that is nothing.
    unit = 1 / min(supply.min(), demand.min())
    # So it does in costs: in theirs the smallest is 1.
    least = max(float(costs.min(where=costs > 0, initial=np.inf)), float(costs.max()) / FAR)
    if not np.isfinite(least):  # no distance at all
        return 0.0
    # What the last class receives follows from all others; asked for too, rounding could make it impossible.
    masses = np.concatenate([supply, demand])[:-1] * unit
    solved = linprog(costs.ravel() / least, A_eq=_flows(*costs.shape), b_eq=masses, method="highs")
    if solved.status:
        raise DataError(f"the Earth Mover's Distance cannot be found: {shown(solved.message)}")
    return float(solved.fun / unit * least)


def _flows(m: int, n: int) -> Any:
    """Sparse (m + n − 1, m·n): the sums of a flow (m, n), row by row, over its rows and all but its last column."""
    from scipy.sparse import eye_array, kron, vstack

    of_rows = kron(eye_array(m), np.ones((1, n)))
    of_columns = kron(np.ones((1, m)), eye_array(n))
    return vstack([of_rows, of_columns]).tocsc()[:-1]


def domain_distance(source: Domain, target: Domain) -> float:
    """d(S, T), the Earth Mover's Distance between two domains (Eq. 4.2). Raises DataError as `class_distances`."""
    return earth_movers_distance(class_distances(source, target), source.shares, target.shares)


def similarity(distance: npt.ArrayLike, gamma: float = GAMMA) -> Floats:
    """Eq. 4.3: exp(−γ·d), from 0 to 1. It is relative to the scale of the features: of longer ones γ has to be less."""
    found: Floats = np.exp(-gamma * np.asarray(distance, np.float64))
    return found


def distances_of_classes(source: Domain, target: Domain) -> Floats:
    """(m,): d({(s, 1)}, T), the distance of each class of the source, as a domain of its own, to the target (4.3.2)."""
    distances: Floats = class_distances(source, target) @ target.shares
    return distances
