"""Cluster-wise kNN beside the head at 10,000 classes: the search of centroids is a product of matrices too."""

import time
from collections.abc import Callable
from functools import partial

import faiss
import numpy as np
import numpy.typing as npt
import torch
from threadpoolctl import threadpool_limits

from benchmarks.measure import Spread, alternate, ratio
from benchmarks.table import Aim, Table, main
from longtail.rules.knn import NearestNeighbours, _search, decide

CLASSES = 10_000
DIMENSIONS, CLUSTERS = (64, 256), (1, 5)  # of an embedding; a class
K = 20
NOISE = 0.8  # the length of a query's deviation from its cluster, which has length 1
SPREAD = 1.0  # likewise of a cluster's from its class
QUERIES, BATCH = 2000, 1000
AGREE = 0.99  # a search that is not exact gives as many answers of the exact one at least
EFFORTS = [2**power for power in range(11)]  # lists that IVF visits; candidates that HNSW keeps
HEAD, TORCH, OURS, IVF, HNSW = "linear head, numpy", "linear head, torch", "cluster-wise, Eq. 3", "IVF", "HNSW"
SEARCH = "of ours: search alone"
KINDS = {"batch": f"{BATCH:,} at a time", "single": "one at a time"}

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Answer = Callable[[Floats], Ints]


def embedded(dimensions: int, clusters: int) -> tuple[Floats, Ints, Floats]:
    """Centroids (m, d) of CLASSES classes, their classes (m,), and queries, each near one of them."""
    rng = np.random.default_rng([dimensions, clusters])

    def around(points: Floats, length: float) -> Floats:
        moved = points + rng.normal(scale=length / dimensions**0.5, size=points.shape)
        on_sphere: Floats = (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(np.float32)
        return on_sphere

    classes = np.repeat(np.arange(CLASSES), clusters)
    points = around(around(np.zeros((CLASSES, dimensions), np.float32), 1.0)[classes], SPREAD if clusters > 1 else 0.0)
    return points, classes, around(points[rng.integers(0, len(points), QUERIES)], NOISE)


def run(full: bool) -> Table:
    """The same with and without --full."""
    table = Table(
        f"Cluster-wise kNN beside the head, {CLASSES:,} classes",
        "The time of a query with the decision, one thread on all sides; training and clustering are not counted.",
        ["embedding", "clusters a class", "queries", "by", "µs a query", "times the head"],
        settings={
            "data": f"classes at random on the sphere, clusters {SPREAD} about theirs, queries {NOISE} about clusters",
            "k": str(K),
            "IVF, HNSW": f"FAISS's, then Eq. 3; the least effort with {AGREE:.0%} of the exact search's answers",
        },
        notes=[
            "the head has one row of weights a class, whatever the number of clusters",
            "the effort of IVF is the lists that are visited, that of HNSW the candidates that are kept",
            "processor time, which on one thread is the wall's where nothing else runs",
        ],
    )
    torch.set_num_threads(1)
    with threadpool_limits(1):
        for dimensions in DIMENSIONS:
            for clusters in CLUSTERS:
                _measure(table, dimensions, clusters)
    return table


def _measure(table: Table, dimensions: int, clusters: int) -> None:
    points, classes, queries = embedded(dimensions, clusters)
    sides, said = _sides(points, classes, queries)
    for kind, batches in (("batch", [queries[:BATCH], queries[BATCH:]]), ("single", list(queries[:400, None]))):
        count = sum(map(len, batches))
        work = {name: partial(_all, answer, batches) for name, answer in sides.items()}
        times = {
            name: [1e6 * one / count for one in many]
            for name, many in alternate(work, pairs=5, clock=time.process_time).items()
        }
        for name, values in times.items():
            against = ratio(values, times[HEAD])
            shown = name if name not in said else f"{name}, {said[name]}"
            table.add(dimensions, clusters, KINDS[kind], shown, _text(Spread.of(values)), _text(against))
        ours = ratio(times[OURS], times[HEAD])
        what = f"cluster-wise kNN against the head, {CLASSES:,} classes, embedding {dimensions}, clusters a class: "
        reason = f"the search alone takes {_text(ratio(times[SEARCH], times[HEAD]))} times the head"
        met = ours.median <= clusters
        goal = f"≤ {clusters} times" if clusters > 1 else "≤ 1 time"
        table.aims.append(Aim(f"{what}{clusters}, {KINDS[kind]}", goal, _text(ours), met, "" if met else reason))


def _all(answer: Answer, batches: list[Floats]) -> None:
    for batch in batches:
        answer(batch)


def _sides(points: Floats, classes: Ints, queries: Floats) -> tuple[dict[str, Answer], dict[str, str]]:
    """Each way to answer, and what is to be said of some."""
    ours = NearestNeighbours(points, classes, CLASSES, K, "large_margin")
    exact = ours.predict(queries)[0]
    weights = points[:: len(points) // CLASSES]
    sides: dict[str, Answer] = {
        HEAD: _numpy_head(weights),
        TORCH: _torch_head(weights),
        OURS: lambda batch: ours.predict(batch)[0],
        SEARCH: lambda batch: _search(ours._index, ours.points, batch, K)[1],  # as `predict` calls it
    }
    said = {}
    for name, (index, set_effort) in {IVF: _ivf(points), HNSW: _hnsw(points)}.items():
        sides[name] = partial(_approximate, index, ours)
        for effort in EFFORTS:
            set_effort(effort)
            agreed = float((sides[name](queries) == exact).mean())
            said[name] = f"effort {effort}, {agreed:.1%} of the answers"
            if agreed >= AGREE:
                break
    return sides, said


def _numpy_head(weights: Floats) -> Answer:
    biases = np.full(len(weights), 0.1, np.float32)

    def answer(batch: Floats) -> Ints:
        scores = batch @ weights.T
        scores += biases  # in place: a second matrix of so many scores would cost as much again
        found: Ints = scores.argmax(1)
        return found

    return answer


def _torch_head(weights: Floats) -> Answer:
    head = torch.nn.Linear(weights.shape[1], len(weights))
    head.weight.data = torch.from_numpy(weights)

    def answer(batch: Floats) -> Ints:
        with torch.inference_mode():
            found: Ints = head(torch.from_numpy(batch)).argmax(1).numpy()
            return found

    return answer


def _ivf(points: Floats) -> tuple[faiss.Index, Callable[[int], None]]:
    lists = int(4 * len(points) ** 0.5)
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(points.shape[1]), points.shape[1], lists)
    index.cp.min_points_per_centroid = 1  # no warning of few
    index.train(points)
    index.add(points)
    return index, lambda effort: setattr(index, "nprobe", effort)


def _hnsw(points: Floats) -> tuple[faiss.Index, Callable[[int], None]]:
    index = faiss.IndexHNSWFlat(points.shape[1], 16)
    index.add(points)
    return index, lambda effort: setattr(index.hnsw, "efSearch", effort)


def _approximate(index: faiss.Index, ours: NearestNeighbours, batch: Floats) -> Ints:
    distances, found = _search(index, ours.points, batch, K)  # type: ignore[arg-type]
    return decide(distances, ours.classes[found], CLASSES, "large_margin")[0]


def _text(spread: Spread) -> str:
    return spread.text("{:,.0f}" if spread.median >= 100 else "{:.1f}" if spread.median >= 10 else "{:.2f}")


if __name__ == "__main__":
    main(run)
