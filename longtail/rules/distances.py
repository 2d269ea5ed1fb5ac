"""The distance of LMLE (Eq. 1), on arrays."""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

Real = TypeVar("Real", np.float32, np.float64)


def squared_distances(a: npt.NDArray[Real], b: npt.NDArray[Real]) -> npt.NDArray[Real]:
    """Squared Euclidean distances D (Eq. 1) between the rows of (n, d) and (m, d), shape (n, m), at least 0."""
    products = a @ b.T
    products *= -2
    products += (a * a).sum(1)[:, None]
    products += (b * b).sum(1)
    np.maximum(products, 0, out=products)
    return products
