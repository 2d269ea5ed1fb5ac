"""k-means inside each class: sizes, numbering, determinism, and as good as scikit-learn's."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from longtail.clusters import (
    Clusters,
    centroids,
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
