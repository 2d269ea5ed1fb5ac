"""The triple-header hinge loss against LMLE's Eq. 2 in plain loops, its gradient, and the margins' bounds."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from longtail.quintuplets.hinge import Distance, Hinges, Margins, decreasing_margins, margin_bounds, triple_header_hinge

MARGINS = Margins(g1=0.02, g2=0.1, g3=0.5)
ONE = torch.tensor([[0, 1, 2, 3, 4]])


def slow_hinges(
    x: list[list[float]],
    quintuplets: list[list[int]],
    on: list[bool],
    weights: list[float],
    margins: Margins,
    power: float,
) -> tuple[float, float, float]:
    """The three sums of slack variables ε, τ, σ of Eq. 2; where p−− is p− or p+ its second constraint holds nothing."""
    epsilon = tau = sigma = 0.0
    for (i, plus, minus, far, negative), two_clusters, weight in zip(quintuplets, on, weights, strict=True):
        D = [sum((a - b) ** 2 for a, b in zip(x[i], x[j], strict=True)) ** power for j in (plus, minus, far, negative)]
        if two_clusters:
            epsilon += weight * max(0, margins.g1 + D[0] - D[1])
            tau += weight * max(0, margins.g2 + D[1] - D[2]) * (far not in (plus, minus))
        sigma += weight * max(0, margins.g3 + D[2] - D[3])
    return epsilon, tau, sigma


def hinges_of(x: Tensor, quintuplets: Tensor = ONE, *, on: bool = True, margins: Margins = MARGINS) -> Hinges:
    """With equal weights."""
    count = len(quintuplets)
    weights = torch.full((count,), 1 / count, dtype=x.dtype)
    return triple_header_hinge(x, quintuplets, torch.full((count,), on), weights, margins)


def random_case(seed: int, size: int, count: int, dimensions: int = 3) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn((size, dimensions), generator=generator, dtype=torch.float64)
    quintuplets = torch.randint(size, (count, 5), generator=generator)
    on = torch.rand(count, generator=generator) < 0.7
    weights = torch.rand(count, generator=generator, dtype=torch.float64)
    return x, quintuplets, on, weights / weights.sum()


@settings(deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(1, 12),
    st.integers(1, 20),
    st.tuples(*[st.floats(0, 3)] * 3),
    st.sampled_from(["squared", "euclidean"]),
)
def test_agrees_with_eq_2_in_plain_loops(
    seed: int, size: int, count: int, g: tuple[float, float, float], distance: Distance
) -> None:
    x, quintuplets, on, weights = random_case(seed, size, count)
    margins = Margins(g1=g[0], g2=g[1], g3=g[2])
    power = 1 if distance == "squared" else 0.5
    slow = slow_hinges(x.tolist(), quintuplets.tolist(), on.tolist(), weights.tolist(), margins, power)
    fast = triple_header_hinge(x, quintuplets, on, weights, margins, distance)
    assert [float(part) for part in fast] == pytest.approx([sum(slow), *slow], abs=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_keeps_the_type_of_the_embeddings(dtype: torch.dtype) -> None:
    assert hinges_of(torch.randn(5, 4, dtype=dtype)).loss.dtype == dtype


def away_from_kinks(x: Tensor, quintuplets: Tensor, margins: Margins) -> bool:
    D = (x[quintuplets[:, :1]] - x[quintuplets[:, 1:]]).square().sum(2)
    slack = torch.tensor([margins.g1, margins.g2, margins.g3]) + D[:, :3] - D[:, 1:]
    return bool((slack.abs() > 1e-3).all())


@pytest.mark.parametrize("distance", ["squared", "euclidean"])
@pytest.mark.parametrize("seed", range(8))
def test_the_gradient_agrees_with_finite_differences(seed: int, distance: Distance) -> None:
    x, quintuplets, on, weights = random_case(seed, 9, 6)
    margins = Margins(g1=0.3, g2=0.7, g3=2.0)
    assert away_from_kinks(x, quintuplets, margins)

    def loss(of: Tensor) -> Tensor:
        return triple_header_hinge(of, quintuplets, on, weights, margins, distance).loss

    assert torch.autograd.gradcheck(loss, (x.requires_grad_(),))


def test_the_gradient_of_one_quintuplet_by_hand() -> None:
    # On a line: anchor 0, p+ at 1, p− at 2, p−− at 2.5, n at 3; D = 1, 4, 6.25, 9.
    x = torch.tensor([[0.0], [1.0], [2.0], [2.5], [3.0]], dtype=torch.float64, requires_grad=True)
    hinges = hinges_of(x, margins=Margins(g1=4, g2=3, g3=2))
    assert [float(part.detach()) for part in hinges] == [1.75, 1.0, 0.75, 0.0]
    hinges.loss.backward()  # type: ignore[no-untyped-call]
    # The hinges with slack are D(p+) − D(p−) + D(p−) − D(p−−); p− cancels out, and dD(p)/dp = 2 (p − anchor).
    assert x.grad is not None
    assert x.grad.ravel().tolist() == [-2.0 + 5.0, 2.0, 0.0, -5.0, 0.0]


def test_without_another_cluster_two_hinges_are_off_and_give_no_gradient() -> None:
    x = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    hinges = hinges_of(x, on=False, margins=Margins(g1=50, g2=50, g3=50))
    assert hinges.cluster.item() == hinges.within_class.item() == 0
    assert hinges.loss.item() == hinges.between_class.item() > 0
    hinges.loss.backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert (x.grad[[1, 2]] == 0).all()
    assert (x.grad[[0, 3, 4]] != 0).any(dim=1).all()


def test_a_collapsed_embedding_gives_the_sum_of_the_margins() -> None:
    loss = hinges_of(torch.ones(5, 8), torch.arange(5).repeat(7, 1)).loss
    assert float(loss) == pytest.approx(0.02 + 0.1 + 0.5)


def test_an_ordered_quintuplet_beyond_all_margins_costs_nothing() -> None:
    assert float(hinges_of(torch.tensor([[0.0], [1.0], [2.0], [3.0], [4.0]])).loss) == 0


def test_weights_are_those_of_a_weighted_mean() -> None:
    x = torch.randn(10, 4, dtype=torch.float64)
    both = torch.tensor([[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]])
    weights = torch.tensor([0.25, 0.75], dtype=torch.float64)
    mixed = triple_header_hinge(x, both, torch.ones(2, dtype=torch.bool), weights, MARGINS).loss
    alone = [float(hinges_of(x, row[None]).loss) for row in both]
    assert float(mixed) == pytest.approx(0.25 * alone[0] + 0.75 * alone[1])


@pytest.mark.parametrize("distance", ["squared", "euclidean"])
def test_where_all_samples_are_one_point_the_gradient_is_finite(distance: Distance) -> None:
    x = torch.ones((5, 3), requires_grad=True)
    triple_header_hinge(x, ONE, torch.tensor([True]), torch.ones(1), MARGINS, distance).loss.backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert not x.grad.any()


def test_where_p_minus_is_p_minus_minus_the_second_hinge_is_no_floor() -> None:
    apart = torch.tensor([[0.0], [1.0], [2.0], [2.0], [4.0]])
    assert float(hinges_of(apart, torch.tensor([[0, 1, 2, 2, 4]])).loss) == 0
    assert float(hinges_of(apart, torch.tensor([[0, 1, 2, 3, 4]])).within_class) == pytest.approx(MARGINS.g2)


@given(st.lists(st.floats(0, 2), min_size=3, max_size=3))
def test_where_p_plus_is_p_minus_minus_the_first_hinge_alone_draws_it_nearer(places: list[float]) -> None:
    """On a line from the anchor: the two hinges would be g1 + g2 at least."""
    minus, plus, negative = sorted(places)
    line = torch.tensor([[0.0], [plus], [minus], [9.0], [negative]], dtype=torch.float64)
    hinges = hinges_of(line, torch.tensor([[0, 1, 2, 1, 4]]))
    assert float(hinges.cluster) == pytest.approx(MARGINS.g1 + plus**2 - minus**2)
    assert float(hinges.within_class) == 0


def test_the_bounds_are_of_the_unit_of_the_distance() -> None:
    """Of the chord c between two points the squared distance is c²."""
    chords, squares = margin_bounds([300, 500], 50, 0.5, "euclidean"), margin_bounds([300, 500], 50, 0.5)
    assert [squares[0], *squares[1], squares[2]] == pytest.approx([c**2 for c in (chords[0], *chords[1], chords[2])])


def test_the_bounds_of_ten_classes_of_720_in_clusters_of_200() -> None:
    g1, g2, g3 = margin_bounds([720] * 10, 200, distance="euclidean")
    # L = 7200: 2 sin(5°), 2 sin(π · 520/7200) = 2 sin(13°), 2 sin(18°).
    assert g1 == pytest.approx(0.174311, abs=1e-6)
    assert g2 == pytest.approx([0.449902] * 10, abs=1e-6)
    assert g3 == pytest.approx(0.618034, abs=1e-6)


def test_half_of_the_sphere_halves_the_angles_of_g1_and_g2_alone() -> None:
    g1, g2, g3 = margin_bounds([720] * 10, 200, share=0.5, distance="euclidean")
    assert g1 == pytest.approx(2 * math.sin(math.radians(2.5)))
    assert g2 == pytest.approx([2 * math.sin(math.radians(6.5))] * 10)
    assert g3 == pytest.approx(2 * math.sin(math.radians(18)))


def test_a_class_no_larger_than_a_cluster_has_no_room_within() -> None:
    assert margin_bounds([100, 200, 300], 200)[1][:2] == [0, 0]


def test_no_bound_exceeds_the_diameter() -> None:
    assert margin_bounds([10_000, 10], 5, distance="euclidean")[1][0] == 2
    assert margin_bounds([10_000, 10], 5)[1][0] == 4


def test_decreasing_margins_begin_at_the_bounds_and_halve() -> None:
    g1, g2, g3 = margin_bounds([500, 1500, 1000], 200)
    tried = decreasing_margins([500, 1500, 1000], 200, count=3)
    assert [m.g1 for m in tried] == pytest.approx([g1, g1 / 2, g1 / 4])
    assert [m.g2 for m in tried] == pytest.approx([max(g2), max(g2) / 2, max(g2) / 4])
    assert [m.g3 for m in tried] == pytest.approx([g3, g3 / 2, g3 / 4])
