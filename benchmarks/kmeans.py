"""k-means inside each class against scikit-learn's, with the same clusters and iterations: time and inertia."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from sklearn.cluster import KMeans, MiniBatchKMeans
from threadpoolctl import threadpool_limits

from benchmarks.measure import Spread, alternate, ratio
from benchmarks.mixtures import CLUSTER_SIZE, DIMENSIONS, Floats, Ints, class_sizes, mixture
from benchmarks.table import Table, main
from longtail.rules.clusters import cluster_classes, number_of_clusters
from longtail.threads import budget

ITERATIONS = 25
SAMPLE = 50  # points a cluster, where k-means is asked for a sample
OURS = "ours"


@dataclass(frozen=True)
class Case:
    """Embeddings (n, d) and their classes (n,)."""

    title: str
    points: Floats
    labels: Ints

    @classmethod
    def of(cls, title: str, sizes: Ints) -> "Case":
        return cls(f"{sizes.sum():,} samples, {title}", *mixture(sizes, seed=0))

    def inertia(self, assignment: Ints) -> float:
        """The mean squared distance of a sample to the mean of its cluster."""
        order = np.argsort(assignment, kind="stable")
        points, starts = self.points[order].astype(float), np.flatnonzero(np.diff(assignment[order], prepend=-1))
        counts = np.diff(np.append(starts, len(order)))
        means = np.add.reduceat(points, starts, axis=0) / counts[:, None]
        return float(((points - np.repeat(means, counts, axis=0)) ** 2).sum() / len(order))


def ours(case: Case, threads: int, sample: int | None = None) -> Ints:
    """The clusters of `longtail cluster`."""
    made = cluster_classes(
        case.points, case.labels, CLUSTER_SIZE, iterations=ITERATIONS, threads=threads, sample_per_cluster=sample
    )
    return made.assignment


def peer(kind: type, case: Case) -> Ints:
    """scikit-learn's, class after class; from random points as ours, once.

    KMeans may end before its last iteration, where nothing moves any more, and so may MiniBatchKMeans; FAISS does not.
    """
    assignment, first = np.empty(len(case.labels), np.int64), 0
    how = {"init": "random", "n_init": 1, "max_iter": ITERATIONS, "tol": 0.0, "random_state": 0}
    for code in np.unique(case.labels):
        members = np.flatnonzero(case.labels == code)
        count = number_of_clusters(len(members), CLUSTER_SIZE)
        assignment[members] = first + (kind(count, **how).fit_predict(case.points[members]) if count > 1 else 0)
        first += count
    return assignment


def run(full: bool) -> Table:
    """160,000 samples in ten imbalanced classes and in 160 equal ones; with --full 1,000,000."""
    count = 1_000_000 if full else 160_000
    table = Table(
        f"k-means inside each class, {count:,} samples",
        f"Clusters of about {CLUSTER_SIZE}, {ITERATIONS} iterations from random points.",
        ["data", "k-means", "threads", "time (s)", "times ours", "inertia a sample"],
        settings={"embedding": f"{DIMENSIONS} on the sphere, seed 0"},
    )
    for case in (
        Case.of("10 classes, imbalance 100", class_sizes(count, 10, 100)),
        Case.of("classes of 1,000", np.full(count // 1000, 1000)),
    ):
        for threads in sorted({1, min(2, budget())}):
            _measure(table, case, threads, pairs=1 if full else 3)
    if full:
        table.notes.append("one timing each")
    return table


def _measure(table: Table, case: Case, threads: int, pairs: int) -> None:
    sides: dict[str, Callable[[], Ints]] = {
        OURS: lambda: ours(case, threads),
        f"ours, from {SAMPLE} samples a cluster": lambda: ours(case, threads, SAMPLE),
        "KMeans": lambda: peer(KMeans, case),
        "MiniBatchKMeans": lambda: peer(MiniBatchKMeans, case),
    }
    made: dict[str, Ints] = {}

    def kept(name: str) -> None:
        made[name] = sides[name]()

    with threadpool_limits(threads):
        times = alternate({name: partial(kept, name) for name in sides}, pairs=pairs, warm_up=False)
    for name, values in times.items():
        spread, against = Spread.of(values), ratio(values, times[OURS])
        once = len(values) == 1
        seconds, times_ours = (
            (f"{spread.median:.1f}", f"{against.median:.2f}") if once else (spread.text(), against.text())
        )
        inertia = f"{case.inertia(made[name]):.4f}"
        table.add(case.title, name, threads, seconds, "1" if name == OURS else times_ours, inertia)


if __name__ == "__main__":
    main(run)
