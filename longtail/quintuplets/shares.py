"""What share of the quintuplets is what the paper means by one, and whether they draw all samples together."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from longtail.quintuplets.table import QuintupletTable

Floats = npt.NDArray[np.float32]

BLOCK = 2**14  # anchors at a time


def table_shares(table: QuintupletTable, embeddings: Floats) -> dict[str, float]:
    """Shares of the rows, from 0 to 1; `embeddings` (n, d): those that the table was made of.

    with_p_plus: with another sample of the anchor's cluster. degenerate: without one of another cluster of its class,
    in truth a triplet. whole: five samples, p−− neither p− nor p+ once more. ordered: whole, and as the loss wants it
    (LMLE, Eq. 1): nothing is left to learn but margins.
    """
    anchor, plus, minus, far, _ = table.members.T
    has_plus = plus != anchor
    whole = has_plus & table.has_other_cluster & (minus != far) & (plus != far)
    return {
        "with_p_plus": float(has_plus.mean()),
        "whole": float(whole.mean()),
        "degenerate": float((~table.has_other_cluster).mean()),
        "ordered": float((whole & _ordered(table, embeddings)).mean()),
    }


def class_gap(table: QuintupletTable, embeddings: Floats) -> float:
    """The mean of D(n) − D(p−−), squared distances: on the sphere from −4 to 4.

    Where it is negative the third hinge is above g3 in the mean, which is what it is with all samples at one point:
    max(0, g3 + x) is at least g3 + x. Training on such quintuplets lowers the loss by drawing all samples together.
    """
    gaps = [distances[:, 3] - distances[:, 2] for distances in _distances(table, embeddings)]
    return float(np.concatenate(gaps).mean(dtype=np.float64))


def _ordered(table: QuintupletTable, embeddings: Floats) -> npt.NDArray[np.bool_]:
    """Whether D(p+) < D(p−) < D(p−−) < D(n), (anchors,)."""
    found = [(distances[:, :-1] < distances[:, 1:]).all(1) for distances in _distances(table, embeddings)]
    return np.concatenate([np.zeros(0, bool), *found])


def _distances(table: QuintupletTable, embeddings: Floats) -> Iterator[Floats]:
    """Of some anchors at a time (anchors, 4) squared distances to p+, p−, p−− and n."""
    for start in range(0, len(table.members), BLOCK):
        points = embeddings[table.members[start : start + BLOCK]]
        yield np.square(points[:, :1] - points[:, 1:]).sum(2)
