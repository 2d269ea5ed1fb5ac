"""What share of the quintuplets is what the paper means by one."""

import numpy as np
import numpy.typing as npt

from longtail.quintuplets.table import QuintupletTable

Floats = npt.NDArray[np.float32]

BLOCK = 2**14  # anchors at a time


def table_shares(table: QuintupletTable, embeddings: Floats) -> dict[str, float]:
    """Shares of the rows, from 0 to 1; `embeddings` (n, d): those that the table was made of.

    with_p_plus: with another sample of the anchor's cluster. degenerate: without one of another cluster of its class,
    in truth a triplet. whole: five samples, p−− not p− once more. ordered: whole, and as the loss wants it (LMLE,
    Eq. 1): nothing is left to learn but margins.
    """
    anchor, plus, minus, far, _ = table.members.T
    has_plus = plus != anchor
    whole = has_plus & table.has_other_cluster & (minus != far)
    return {
        "with_p_plus": float(has_plus.mean()),
        "whole": float(whole.mean()),
        "degenerate": float((~table.has_other_cluster).mean()),
        "ordered": float((whole & _ordered(table, embeddings)).mean()),
    }


def _ordered(table: QuintupletTable, embeddings: Floats) -> npt.NDArray[np.bool_]:
    """Whether D(p+) < D(p−) < D(p−−) < D(n), (anchors,)."""
    found = [np.zeros(0, bool)]
    for start in range(0, len(table.members), BLOCK):
        points = embeddings[table.members[start : start + BLOCK]]
        distances = np.square(points[:, :1] - points[:, 1:]).sum(2)
        found.append((distances[:, :-1] < distances[:, 1:]).all(1))
    return np.concatenate(found)
