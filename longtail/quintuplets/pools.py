"""The random candidates of a round, and the table over them."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from longtail.data.members import members
from longtail.quintuplets.candidates import Task
from longtail.quintuplets.quantile import Partners, quantile_table
from longtail.quintuplets.search import Device, quintuplet_tables
from longtail.quintuplets.table import WHOLE, Part, QuintupletTable, merge

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


def draw_pool(
    labels: Ints, *, fraction: float | None = None, per_class: int | None = None, rng: np.random.Generator
) -> Ints:
    """Sorted positions of a random candidate pool, stratified by class: a fraction of each class or so many of it.

    At least two samples of every class (all, where it has fewer); labels of −1 are never drawn.
    """
    return _draw(list(members(labels).values()), fraction, per_class, rng)


def _draw(classes: list[Ints], fraction: float | None, per_class: int | None, rng: np.random.Generator) -> Ints:
    chosen = []
    for own in classes:
        asked = per_class if per_class is not None else round((fraction or 1.0) * len(own))
        chosen.append(rng.choice(own, size=min(len(own), max(2, asked)), replace=False))
    return np.sort(np.concatenate(chosen))


def pooled_tables(
    embeddings: Floats,
    tasks: list[tuple[Ints, Ints]],
    *,
    pools: int,
    fraction: float | None = None,
    per_class: int | None = None,
    per_cluster: int | None = None,
    quantile: float = 1.0,
    rng: np.random.Generator,
    part: Part = WHOLE,
    device: Device = "cpu",
    memory: int | None = None,
) -> list[QuintupletTable]:
    """For each task, given as labels (n,) and clusters (n,), the table over `pools` random candidate pools; the anchors
    are dealt out among them at random. `part`, `device`, `memory` and errors: as in `quintuplet_tables`; `quantile`: as
    in `quantile_table`.

    One pool is the paper's random subset. Small pools make semi-hard quintuplets, and many of them let every sample be
    a partner: with one pool of ten a class, all anchors of a round would share a hundred partners. But two samples of a
    class are seldom of the anchor's cluster and of another: with `per_cluster` p+ and p− come from pools of their own,
    so many samples of each cluster, and nearly every quintuplet is whole.
    """

    def of_pools(tasks: list[Task], partners: Partners, part: Part = WHOLE) -> list[QuintupletTable]:
        if quantile < 1:
            return [quantile_table(embeddings, task, quantile, part=part, partners=partners) for task in tasks]
        return quintuplet_tables(embeddings, tasks, part=part, device=device, memory=memory)

    def tables(dealt: list[list[Task]], partners: Partners = "all") -> list[QuintupletTable]:
        if pools == 1:  # tasks share the one product
            return of_pools([pool for of_task in dealt for pool in of_task], partners, part)
        return [merge(of_pools([of_task[number]], partners)[0] for number in part.share(pools)) for of_task in dealt]

    dealt = [_deal(*task, pools=pools, fraction=fraction, per_class=per_class, rng=rng) for task in tasks]
    if per_cluster is None:
        return tables(dealt)
    apart = [_by_cluster(of_task, per_cluster, rng) for of_task in dealt]
    return [_joined(*pair) for pair in zip(tables(apart, "near"), tables(dealt, "far"), strict=True)]


def _deal(
    labels: Ints,
    clusters: Ints,
    *,
    pools: int,
    fraction: float | None,
    per_class: int | None,
    rng: np.random.Generator,
) -> list[Task]:
    """The pools of one task, each with its share of the anchors."""
    anchors = np.flatnonzero(labels >= 0)
    dealt = rng.integers(pools, size=len(anchors))
    classes = list(members(labels).values())
    drawn = (_draw(classes, fraction, per_class, rng) for _ in range(pools))
    return [Task(labels, clusters, pool, anchors[dealt == number]) for number, pool in enumerate(drawn)]


def _by_cluster(dealt: list[Task], per_cluster: int, rng: np.random.Generator) -> list[Task]:
    """The same anchors with pools that have so many candidates of each cluster."""
    clusters = list(members(dealt[0].clusters).values())
    return [replace(task, pool=_draw(clusters, None, per_cluster, rng)) for task in dealt]


def _joined(near: QuintupletTable, far: QuintupletTable) -> QuintupletTable:
    """p+ and p− of the one table, p−− and n of the other."""
    anchor, plus, minus, _, _ = near.members.T
    _, _, _, farthest, negative = far.members.T
    minus = np.where(near.has_other_cluster, minus, farthest)
    members = np.stack([anchor, plus, minus, farthest, negative], axis=1)
    return QuintupletTable(members, near.has_other_cluster, near.clusters)
