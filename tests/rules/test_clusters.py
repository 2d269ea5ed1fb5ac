"""k-means inside each class: sizes, numbering, determinism, and as good as scikit-learn's."""

from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from longtail.rules.clusters import (
    Clusters,
    _share_threads,
    centroids,
    chosen_cluster_size,
    cluster_classes,
    kmeans,
    load_clusters,
    number_of_clusters,
    save_clusters,
)

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


def blobs(count: int, size: int, seed: int = 0, dimensions: int = 8) -> Floats:
    rng = np.random.default_rng(seed)
    centres = 6 * rng.normal(size=(count, dimensions))
    return (np.repeat(centres, size, axis=0) + rng.normal(size=(count * size, dimensions))).astype(np.float32)


def inertia(points: Floats, assignment: Ints) -> float:
    parts = [points[assignment == cluster].astype(float) for cluster in np.unique(assignment)]
    return float(sum(((part - part.mean(0)) ** 2).sum() for part in parts))


@pytest.mark.parametrize(("size", "clusters"), [(1, 1), (199, 1), (200, 1), (399, 1), (400, 2), (7200, 36)])
def test_a_class_has_one_cluster_for_every_200_samples(size: int, clusters: int) -> None:
    assert number_of_clusters(size, 200) == clusters


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(-1, 3), min_size=1, max_size=60), st.integers(1, 20), st.integers(1, 4), st.integers(0, 5))
def test_no_cluster_is_empty_and_each_is_of_one_class(codes: list[int], size: int, places: int, seed: int) -> None:
    """Few places for many points: most are duplicates, which k-means alone leaves in too few clusters."""
    labels = np.array(codes)
    embeddings = np.random.default_rng(seed).integers(0, places, (len(codes), 2)).astype(np.float32)
    made = cluster_classes(embeddings, labels, size, seed=seed)
    assert ((made.assignment >= 0) == (labels >= 0)).all()
    assert sorted(set(made.assignment[labels >= 0].tolist())) == list(range(len(made.classes)))
    assert (made.classes[made.assignment[labels >= 0]] == labels[labels >= 0]).all()
    assert made.classes.tolist() == sorted(made.classes.tolist())
    for code in set(codes) - {-1}:
        assert (made.classes == code).sum() == max(1, codes.count(code) // size)


def test_identical_points_still_fill_every_cluster() -> None:
    assignment = kmeans(np.ones((50, 3), np.float32), 10, iterations=5, seed=0)
    assert set(assignment.tolist()) == set(range(10))


def test_as_many_clusters_as_points_is_one_point_each() -> None:
    assert sorted(kmeans(blobs(3, 4), 12, iterations=5, seed=0).tolist()) == list(range(12))


def test_the_same_seed_gives_the_same_clusters() -> None:
    points = np.random.default_rng(0).normal(size=(600, 8)).astype(np.float32)
    runs = [kmeans(points, 10, iterations=25, seed=seed).tolist() for seed in (3, 3, 4)]
    assert runs[0] == runs[1] != runs[2]


def test_all_points_of_a_large_class_are_used() -> None:
    """With more than 256 points a cluster, after convergence every centroid is the mean of all its points: no point
    is nearer to the mean of another cluster than to that of its own.
    """
    points = np.random.default_rng(0).normal(size=(4000, 2)).astype(np.float32)
    assignment = kmeans(points, 3, iterations=300, seed=0)
    means = np.stack([points[assignment == cluster].astype(float).mean(0) for cluster in range(3)])
    nearest = ((points[:, None] - means) ** 2).sum(2).argmin(1)
    assert (nearest == assignment).mean() > 0.999


def imbalanced() -> tuple[Floats, Ints]:
    """One cloud, and labels of five classes: one of them most of the samples, some samples without label."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat([0, 2, 3, 4, 5, -1], [3000, 400, 300, 45, 9, 50]))
    return rng.normal(size=(len(labels), 16)).astype(np.float32), labels


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("sample", [None, 5])
def test_classes_side_by_side_are_clustered_as_one_after_the_other(threads: int, sample: int | None) -> None:
    """The number of threads does not change a bit of what FAISS answers either."""
    points, labels = imbalanced()
    made = cluster_classes(points, labels, 20, seed=1, threads=threads, sample_per_cluster=sample)
    expected, classes = np.full(len(labels), -1), list[int]()
    for code in sorted(set(labels.tolist()) - {-1}):
        members = np.flatnonzero(labels == code)
        count = number_of_clusters(len(members), 20)
        expected[members] = len(classes) + kmeans(
            points[members], count, iterations=25, seed=1, sample_per_cluster=sample
        )
        classes += [code] * count
    assert made.classes.tolist() == classes
    assert (made.assignment == expected).all()


def test_a_class_that_is_most_of_the_work_has_all_threads_and_the_others_one_each() -> None:
    seen = {}

    def job(place: int) -> None:
        seen[place] = faiss.omp_get_max_threads()

    before = faiss.omp_get_max_threads()
    _share_threads(job, [1, 1, 20, 1, 5, 1, 1], 3)
    assert seen == {0: 1, 1: 1, 2: 3, 3: 1, 4: 3, 5: 1, 6: 1}
    assert faiss.omp_get_max_threads() == before


def test_what_fails_for_one_class_fails_for_all() -> None:
    with pytest.raises(ZeroDivisionError):
        _share_threads(lambda place: print(1 // place), [1.0, 2.0, 1.0], 2)


def test_without_labels_there_are_no_clusters() -> None:
    points = blobs(1, 4, dimensions=16)
    made = cluster_classes(points, np.full(4, -1), 2)
    assert (made.assignment.tolist(), made.classes.tolist()) == ([-1] * 4, [])
    assert centroids(points, made).shape == (0, 16)


def test_a_sample_of_the_points_makes_the_centroids_and_all_are_assigned() -> None:
    points = blobs(4, 500)
    assignments = [kmeans(points, 8, iterations=25, seed=seed, sample_per_cluster=20) for seed in (0, 0, 1)]
    assert (assignments[0] == assignments[1]).all()
    assert (assignments[0] != assignments[2]).any()
    everything = kmeans(points, 8, iterations=25, seed=0)
    assert (assignments[0] != everything).any()
    assert set(assignments[0].tolist()) == set(range(8))
    assert inertia(points, assignments[0]) <= 1.5 * inertia(points, everything)


def test_a_sample_that_holds_all_points_is_all_points() -> None:
    points = blobs(4, 100)
    sampled = kmeans(points, 4, iterations=25, seed=0, sample_per_cluster=100)
    assert (sampled == kmeans(points, 4, iterations=25, seed=0)).all()


@pytest.mark.parametrize("seed", range(3))
def test_inertia_is_near_that_of_scikit_learn(seed: int) -> None:
    points = blobs(6, 150, seed)
    ours = min(inertia(points, kmeans(points, 6, iterations=25, seed=s)) for s in range(5))
    theirs = KMeans(6, n_init=5, random_state=seed).fit(points).inertia_
    assert ours <= 1.03 * theirs


def test_one_run_on_one_cloud_is_near_scikit_learn() -> None:
    points = np.random.default_rng(0).normal(size=(1500, 8)).astype(np.float32)
    theirs = KMeans(12, n_init=1, random_state=0).fit(points).inertia_
    assert inertia(points, kmeans(points, 12, iterations=25, seed=0)) <= 1.03 * theirs


def test_centroids_are_normalised_means() -> None:
    embeddings = np.array([[1, 0], [0, 1], [5, 5], [-3, 4]], np.float32)
    points = centroids(embeddings, Clusters(np.array([0, 0, -1, 1]), np.array([0, 1])))
    assert points.ravel().tolist() == pytest.approx([0.5**0.5, 0.5**0.5, -0.6, 0.8])


def test_centroids_agree_with_the_mean_of_each_cluster() -> None:
    points = imbalanced()[0]
    assignment = np.random.default_rng(0).integers(-1, 7, len(points))
    made = centroids(points, Clusters(assignment, np.arange(7)))
    for cluster in range(7):
        mean = points[assignment == cluster].astype(float).mean(0)
        assert made[cluster].tolist() == pytest.approx((mean / np.linalg.norm(mean)).tolist(), rel=1e-5, abs=1e-6)


def test_opposite_points_have_a_finite_centroid() -> None:
    points = centroids(np.array([[1, 0], [-1, 0]], np.float32), Clusters(np.zeros(2, np.int64), np.array([0])))
    assert np.isfinite(points).all()


def test_clusters_are_read_as_they_were_written(tmp_path: Path) -> None:
    made = {"digit": Clusters(np.array([0, -1, 1]), np.array([0, 4])), "kids": Clusters(np.array([0]), np.array([1]))}
    save_clusters(tmp_path / "clusters", made)
    loaded = load_clusters(tmp_path / "clusters")
    assert list(loaded) == ["digit", "kids"]
    assert (loaded["digit"].assignment == made["digit"].assignment).all()
    assert (loaded["digit"].classes == made["digit"].classes).all()


@pytest.mark.parametrize(
    ("sizes", "chosen"),
    [
        ([7200, 6000, 5000], 200),  # the paper's
        ([1080, 300, 216], 100),
        ([500, 60, 3], 20),  # the smallest may be one cluster
        ([500, 16, 2, 1], 5),
        ([90], 30),
        ([1, 1], 5),
    ],
)
def test_the_cluster_size_follows_the_classes(sizes: list[int], chosen: int) -> None:
    assert chosen_cluster_size(sizes) == chosen


@given(st.lists(st.integers(15, 3000), min_size=2, max_size=30))
def test_where_it_is_chosen_all_classes_but_the_smallest_have_several_clusters(sizes: list[int]) -> None:
    chosen = chosen_cluster_size(sizes)
    assert all(number_of_clusters(size, chosen) >= 3 for size in sorted(sizes)[1:])


def test_no_cluster_size_is_the_chosen_one() -> None:
    labels = np.repeat([0, 1, 2, -1], [90, 60, 8, 2])
    embeddings = np.random.default_rng(0).normal(size=(160, 3)).astype(np.float32)
    made = cluster_classes(embeddings, labels, None)
    assert np.bincount(made.classes).tolist() == [4, 3, 1]
    assert (made.assignment == cluster_classes(embeddings, labels, 20).assignment).all()


@pytest.mark.parametrize(("classes", "said"), [([0, 1, 2], True), ([0, 0, 1], False), ([3], False), ([], False)])
def test_it_is_said_where_every_class_is_one_cluster(classes: list[int], said: bool) -> None:
    warning = Clusters(np.zeros(1, np.int64), np.array(classes, np.int64)).warning("digit")
    assert bool(warning) == said
    assert warning is None or "Every class of digit is one cluster" in warning
