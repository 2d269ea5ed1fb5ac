"""Magnet and CLMLE: their groups of clusters, and their losses against the equations in plain loops."""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from longtail.methods.clmle import Params as CLMLEParams
from longtail.methods.clmle import clmle_losses, widened
from longtail.methods.cluster_groups import Groups, nearest_clusters
from longtail.methods.magnet import SMALLEST, magnet_losses
from longtail.quintuplets.table import QuintupletTable

Points = list[list[list[float]]]
Ints = npt.NDArray[np.int64]


def drawn(seed: int, *, classes: int = 3) -> tuple[Tensor, Tensor]:
    """Groups (G, M, D, d) on the sphere, and the classes (G, M) of their clusters."""
    rng = np.random.default_rng(seed)
    shape = (rng.integers(1, 3), rng.integers(2, 5), rng.integers(2, 4), rng.integers(2, 4))
    points = torch.nn.functional.normalize(torch.tensor(rng.normal(size=shape)), dim=3)
    return points, torch.tensor(rng.integers(classes, size=shape[:2]))


def square(a: list[float], b: list[float]) -> float:
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def slow_magnet(points: Points, classes: list[int], gap: float) -> float:
    """Eq. 5 of one group."""
    M, D = len(points), len(points[0])
    means = [[sum(column) / D for column in zip(*cluster, strict=True)] for cluster in points]
    variance = sum(square(r, means[m]) for m in range(M) for r in points[m]) / (M * D - 1)
    variance = max(variance, SMALLEST)
    total = 0.0
    for m in range(M):
        for r in points[m]:
            others = [math.exp(-square(r, means[n]) / (2 * variance)) for n in range(M) if classes[n] != classes[m]]
            if others:
                own = math.exp(-square(r, means[m]) / (2 * variance) - gap)
                total += max(0.0, -math.log(own / sum(others)))
    return total / (M * D)


def slow_clmle(points: Points, classes: list[int], within: float, between: float, concentration: float) -> float:
    """One group, of `clmle_losses` as it reads."""
    M, D = len(points), len(points[0])
    sums = [[sum(column) for column in zip(*cluster, strict=True)] for cluster in points]
    directions = [[x / math.hypot(*one) for x in one] for one in sums]
    total = 0.0
    for m in range(M):
        for r in points[m]:
            cosines = [sum(x * y for x, y in zip(r, one, strict=True)) for one in directions]
            for same, margin in ((True, within), (False, between)):
                others = [cosines[n] for n in range(M) if n != m and (classes[n] == classes[m]) == same]
                angle = math.acos(max(-1.0, min(1.0, cosines[m])))
                past = angle + margin >= math.pi
                target = cosines[m] - margin * math.sin(margin) if past else math.cos(angle + margin)
                if others:
                    likelihood = math.exp(concentration * target)
                    rest = sum(math.exp(concentration * cosine) for cosine in others)
                    total += -math.log(likelihood / (likelihood + rest))
    return total / (M * D)


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 1.0]))
def test_magnet_is_eq_5(seed: int, gap: float) -> None:
    points, classes = drawn(seed)
    expected = [slow_magnet(*group, gap) for group in zip(points.tolist(), classes.tolist(), strict=True)]
    assert magnet_losses(points, classes, gap).tolist() == pytest.approx(expected, abs=1e-9)


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 10**6), st.sampled_from([(0.0, 0.0), (0.1, 0.3), (0.5, math.pi / 2)]))
def test_clmle_is_what_it_says(seed: int, margins: tuple[float, float]) -> None:
    points, classes = drawn(seed)
    expected = [slow_clmle(*group, *margins, 4.0) for group in zip(points.tolist(), classes.tolist(), strict=True)]
    floor = 2 * 4.0 * math.sqrt(SMALLEST)  # of the sine, in both sums: at an angle of 0 its gradient would be infinite
    assert clmle_losses(points, classes, *margins, 4.0).tolist() == pytest.approx(expected, rel=1e-4, abs=floor)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "magnet": lambda points, classes: magnet_losses(points, classes, 1.0),
    "clmle": lambda points, classes: clmle_losses(points, classes, 0.1, 0.3, 4.0),
}


@pytest.mark.parametrize("kind", LOSSES)
def test_their_gradients_are_those_of_finite_differences(kind: str) -> None:
    points, _ = drawn(3)
    classes = torch.arange(points.shape[1]).expand(points.shape[:2]) // 2
    assert torch.autograd.gradcheck(lambda points: LOSSES[kind](points, classes), points.requires_grad_())


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("groups", [0, 2])
@pytest.mark.parametrize("classes", [[0, 0, 0], [0, 0, 1], [0, 1, 2]])
@pytest.mark.parametrize("apart", [False, True])
def test_coinciding_points_have_a_finite_loss_and_gradient(
    kind: str, groups: int, classes: list[int], apart: bool
) -> None:
    """All at one point, or each cluster at its own."""
    points = torch.zeros(groups, 3, 4, 5)
    for cluster in range(3):
        points[:, cluster, :, cluster if apart else 0] = 1
    losses = LOSSES[kind](points.requires_grad_(), torch.tensor(classes).expand(groups, 3))
    assert losses.shape == (groups,)
    losses.sum().backward()
    assert torch.isfinite(losses).all()
    assert points.grad is not None
    assert torch.isfinite(points.grad).all()
    if kind == "magnet" and (apart or len(set(classes)) == 1):
        assert losses.sum() == 0


@pytest.mark.parametrize("margin", [0.0, 0.3, math.pi / 2])
def test_a_widened_angle_is_never_more_likely(margin: float) -> None:
    cosines = torch.linspace(-1, 1, 2001, dtype=torch.float64)
    found = widened(cosines, margin)
    assert (found.diff() > 0).all() or margin == 0
    assert (found <= cosines + 1e-9).all()


def table_of(clusters: Ints, positions: Ints) -> QuintupletTable:
    return QuintupletTable(np.stack([positions] * 5, axis=1), np.ones(len(positions), bool), clusters)


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 10**6), st.integers(1, 8), st.integers(0, 3))
def test_the_nearest_clusters_are_kin_then_other_classes_and_kin_again_where_those_do_not_suffice(
    seed: int, count: int, kin: int
) -> None:
    rng = np.random.default_rng(seed)
    centroids = rng.normal(size=(rng.integers(1, 8), 3)).astype(np.float32)
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
    classes = rng.integers(3, size=len(centroids))
    found = nearest_clusters(centroids, classes, count, kin)
    assert found.shape == (len(centroids), min(count, len(centroids) - 1))
    for cluster, near in enumerate(found.tolist()):
        others = sorted(
            (other for other in range(len(centroids)) if other != cluster),
            key=lambda other: -float(centroids[other] @ centroids[cluster]),
        )
        own = [other for other in others if classes[other] == classes[cluster]]
        strangers = [other for other in others if classes[other] != classes[cluster]]
        assert near == [*own[:kin], *strangers, *own[kin:]][:count]


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 10**6))
def test_a_group_has_its_seed_first_and_of_each_cluster_different_members_while_there_are(seed: int) -> None:
    rng = np.random.default_rng(seed)
    clusters = np.concatenate([np.arange(5), rng.integers(5, size=20)])
    labels, positions = np.full(60, -1), np.sort(rng.choice(60, 25, replace=False))
    labels[positions] = clusters // 2
    centroids = rng.dirichlet(np.ones(4), 5).astype(np.float32)
    groups = Groups(table_of(clusters, positions), labels, centroids, 3, 4, 1)
    assert groups.classes.tolist() == [0, 0, 1, 1, 2]
    seeds = rng.choice(positions, 6)
    of_groups, drawn = groups.draw(seeds, np.random.default_rng(0))
    assert drawn.shape == (6, 3, 4)
    assert np.array_equal(drawn[:, 0, 0], seeds)
    where = dict(zip(positions.tolist(), clusters.tolist(), strict=True))
    sizes = np.bincount(clusters)
    for group, of_group in zip(drawn.tolist(), of_groups.tolist(), strict=True):
        for cluster, members in zip(of_group, group, strict=True):
            assert {where[member] for member in members} == {cluster}
            assert len(set(members)) == min(4, sizes[cluster])
    assert np.array_equal(groups.draw(seeds, np.random.default_rng(0))[1], drawn)


def test_kin_leave_a_place_for_another_class() -> None:
    assert CLMLEParams(clusters=4, kin=2).kin == 2
    with pytest.raises(ValidationError, match="leave no place for another class"):
        CLMLEParams(clusters=4, kin=3)
