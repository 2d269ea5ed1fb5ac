"""The quintuplet table (LMLE, section 3.1): for every anchor its four partners, exact, computed in blocks.

A row holds sample positions: anchor, p+ (farthest in its cluster), p− (nearest of its class outside the cluster),
p−− (farthest in the class), n (nearest of another class).
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class QuintupletTable:
    """`members` (anchors, 5): positions of anchor, p+, p−, p−−, n. `has_other_cluster` (anchors,): False where the
    class has no candidate outside the anchor's cluster; then the hinges on p− are off and `members` repeats p−−.
    """

    members: Ints
    has_other_cluster: npt.NDArray[np.bool_]


def draw_pool(
    labels: Ints, *, fraction: float | None = None, per_class: int | None = None, rng: np.random.Generator
) -> Ints:
    """Sorted positions of a random candidate pool, stratified by class: a fraction of each class or so many of it.

    At least two samples of every class (all, where it has fewer); labels of −1 are never drawn.
    """
    chosen = []
    for code in np.unique(labels[labels >= 0]):
        members = np.flatnonzero(labels == code)
        asked = per_class if per_class is not None else round((fraction or 1.0) * len(members))
        chosen.append(rng.choice(members, size=min(len(members), max(2, asked)), replace=False))
    return np.sort(np.concatenate(chosen))


def pooled_table(
    embeddings: Floats,
    labels: Ints,
    clusters: Ints,
    *,
    pools: int,
    fraction: float | None = None,
    per_class: int | None = None,
    rng: np.random.Generator,
    memory: int = 256 * 2**20,
) -> QuintupletTable:
    """The table over `pools` random candidate pools, the anchors being dealt out among them at random.

    One pool is the paper's random subset. Small pools make semi-hard quintuplets, and many of them let every sample be
    a partner: with one pool of ten a class, all anchors of a round would share a hundred partners.
    """
    anchors = np.flatnonzero(labels >= 0)
    dealt = rng.integers(pools, size=len(anchors))
    members, other = np.empty((len(anchors), 5), np.int64), np.empty(len(anchors), bool)
    for number in range(pools):
        pool = draw_pool(labels, fraction=fraction, per_class=per_class, rng=rng)
        here = np.flatnonzero(dealt == number)
        table = quintuplet_table(embeddings, labels, clusters, pool, anchors=anchors[here], memory=memory)
        members[here], other[here] = table.members, table.has_other_cluster
    return QuintupletTable(members, other)


def quintuplet_table(
    embeddings: Floats,
    labels: Ints,
    clusters: Ints,
    pool: Ints,
    *,
    anchors: Ints | None = None,
    memory: int = 256 * 2**20,
) -> QuintupletTable:
    """One row for each anchor (default: every labelled sample); its partners are the exact extremes over the pool.

    Parameters: `embeddings` (n, d); `labels` (n,) class codes, −1 where there is no label; `clusters` (n,) cluster of
    each labelled sample; `pool` sorted positions of the candidates; `memory` bounds the distance blocks, in bytes.
    Ties go to the lowest position. An anchor without another candidate in its cluster is its own p+, and one
    without another in its class its own p−−.

    Raises ValueError if there are fewer than two classes, or one has no candidate.
    """
    classes = np.unique(labels[labels >= 0])
    if len(classes) < 2 or not np.isin(classes, labels[pool]).all():
        raise ValueError("quintuplets need at least two classes, and a candidate of each")
    if anchors is None:
        anchors = np.flatnonzero(labels >= 0)
    members = np.empty((len(anchors), 5), np.int64)
    other = np.empty(len(anchors), bool)
    # An upper bound, in bytes a distance, of what a block holds: the distances, three masked copies, and the masks.
    block = max(1, memory // (24 * len(pool)))
    for code in classes:
        rows = np.flatnonzero(labels[anchors] == code)
        own, foreign = pool[labels[pool] == code], pool[labels[pool] != code]
        for start in range(0, len(rows), block):
            here = rows[start : start + block]
            members[here], other[here] = _block(embeddings, clusters, anchors[here], own, foreign)
    return QuintupletTable(members, other)


def _block(
    embeddings: Floats, clusters: Ints, anchors: Ints, own: Ints, foreign: Ints
) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """The rows of the table for anchors of one class; `own` and `foreign` are the candidates in and out of it."""
    every = np.arange(len(anchors))
    within = squared_distances(embeddings[anchors], embeddings[own])
    same_cluster = clusters[anchors][:, None] == clusters[own]
    itself = anchors[:, None] == own

    far_in_cluster = np.where(same_cluster & ~itself, within, -np.inf)
    plus = np.argmax(far_in_cluster, axis=1)
    p_plus = np.where(np.isfinite(far_in_cluster[every, plus]), own[plus], anchors)

    near_outside = np.where(same_cluster, np.inf, within)
    minus = np.argmin(near_outside, axis=1)
    has_other = np.isfinite(near_outside[every, minus])

    far_in_class = np.where(itself, -np.inf, within)
    far = np.argmax(far_in_class, axis=1)
    p_far = np.where(np.isfinite(far_in_class[every, far]), own[far], anchors)

    nearest = np.argmin(squared_distances(embeddings[anchors], embeddings[foreign]), axis=1)
    p_minus = np.where(has_other, own[minus], p_far)
    return np.stack([anchors, p_plus, p_minus, p_far, foreign[nearest]], axis=1), has_other


def squared_distances(a: Floats, b: Floats) -> Floats:
    """Squared Euclidean distances D (Eq. 1) between the rows of (n, d) and (m, d), shape (n, m), at least 0."""
    products = a @ b.T
    products *= -2
    products += (a * a).sum(1)[:, None]
    products += (b * b).sum(1)
    np.maximum(products, 0, out=products)
    return products


def save_tables(path: Path, tables: dict[str, QuintupletTable]) -> None:
    """Write one table a task into the directory `path`."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "tasks.json").write_text(json.dumps(list(tables)) + "\n")
    for task, table in tables.items():
        np.save(path / f"members-{task}.npy", table.members, allow_pickle=False)
        np.save(path / f"has_other_cluster-{task}.npy", table.has_other_cluster, allow_pickle=False)


def load_tables(path: Path) -> dict[str, QuintupletTable]:
    """The tables that `save_tables` wrote, by task."""

    return {
        task: QuintupletTable(
            np.load(path / f"members-{task}.npy", allow_pickle=False),
            np.load(path / f"has_other_cluster-{task}.npy", allow_pickle=False),
        )
        for task in json.loads((path / "tasks.json").read_text())
    }
