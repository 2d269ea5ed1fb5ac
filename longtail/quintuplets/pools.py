"""The random candidates of a round, and the table over them."""

import numpy as np
import numpy.typing as npt

from longtail.quintuplets.candidates import Task
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
    return _draw(_by_class(labels), fraction, per_class, rng)


def _by_class(labels: Ints) -> list[Ints]:
    return [np.flatnonzero(labels == code) for code in np.unique(labels[labels >= 0])]


def _draw(classes: list[Ints], fraction: float | None, per_class: int | None, rng: np.random.Generator) -> Ints:
    chosen = []
    for members in classes:
        asked = per_class if per_class is not None else round((fraction or 1.0) * len(members))
        chosen.append(rng.choice(members, size=min(len(members), max(2, asked)), replace=False))
    return np.sort(np.concatenate(chosen))


def pooled_tables(
    embeddings: Floats,
    tasks: list[tuple[Ints, Ints]],
    *,
    pools: int,
    fraction: float | None = None,
    per_class: int | None = None,
    rng: np.random.Generator,
    part: Part = WHOLE,
    device: Device = "cpu",
    memory: int | None = None,
) -> list[QuintupletTable]:
    """For each task, given as labels (n,) and clusters (n,), the table over `pools` random candidate pools; the anchors
    are dealt out among them at random. `part`, `device`, `memory` and errors: as in `quintuplet_tables`.

    One pool is the paper's random subset. Small pools make semi-hard quintuplets, and many of them let every sample be
    a partner: with one pool of ten a class, all anchors of a round would share a hundred partners.
    """
    dealt = [_deal(*task, pools=pools, fraction=fraction, per_class=per_class, rng=rng) for task in tasks]
    if pools == 1:
        return quintuplet_tables(
            embeddings, [pool for of_task in dealt for pool in of_task], part=part, device=device, memory=memory
        )
    return [
        merge(
            quintuplet_tables(embeddings, [of_task[number]], device=device, memory=memory)[0]
            for number in part.share(pools)
        )
        for of_task in dealt
    ]


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
    classes = _by_class(labels)
    drawn = (_draw(classes, fraction, per_class, rng) for _ in range(pools))
    return [Task(labels, clusters, pool, anchors[dealt == number]) for number, pool in enumerate(drawn)]
