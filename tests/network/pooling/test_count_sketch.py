"""Tensor sketches against loops over every product, and their inner products against those that they approximate."""

import math
from itertools import product

import pytest
import torch
from torch import Tensor

from longtail.network.pooling.count_sketch import TensorSketch


def by_loops(sketch: TensorSketch, vector: Tensor, order: int) -> Tensor:
    """Every product of `order` entries, added where the sum of its hashes says, with the product of its signs."""
    found = torch.zeros(sketch.dimension, dtype=torch.float64)
    for entries in product(range(len(vector)), repeat=order):
        place = sum(int(sketch.places[level, entry]) for level, entry in enumerate(entries)) % sketch.dimension
        found[place] += math.prod(float(sketch.signs[level, e] * vector[e]) for level, e in enumerate(entries))
    return found


def circular_convolution(one: Tensor, other: Tensor) -> Tensor:
    length = len(one)
    return torch.stack([sum(one[i] * other[(k - i) % length] for i in range(length)) for k in range(length)])


def count_sketches(sketch: TensorSketch, vector: Tensor) -> list[Tensor]:
    """Eq. 3.8, by a loop."""
    found = torch.zeros(len(sketch.places), sketch.dimension, dtype=torch.float64)
    for level, entry in product(range(len(sketch.places)), range(len(vector))):
        found[level, int(sketch.places[level, entry])] += sketch.signs[level, entry] * vector[entry]
    return list(found)


@pytest.mark.parametrize("dimension", [2, 7, 16, 33])
@pytest.mark.parametrize("positions", [1, 3])
def test_it_is_the_sketch_of_every_product_and_a_circular_convolution(dimension: int, positions: int) -> None:
    torch.manual_seed(0)
    sketch, maps = TensorSketch(5, 4, dimension, seed=3), torch.randn(2, positions, 5)
    for order, found in enumerate(sketch(maps), start=2):
        assert found.shape == (2, dimension)
        for image, of_image in zip(maps, found, strict=True):
            products = torch.stack([by_loops(sketch, vector, order) for vector in image]).mean(0)
            torch.testing.assert_close(of_image.double(), products, atol=1e-5, rtol=1e-5)
            convolved = []
            for vector in image:
                first, *others = count_sketches(sketch, vector)[:order]
                for other in others:
                    first = circular_convolution(first, other)
                convolved.append(first)
            torch.testing.assert_close(of_image.double(), torch.stack(convolved).mean(0), atol=1e-5, rtol=1e-5)


def published_bound(cosine: float, order: int) -> float:
    """Δ(p) of Eq. 3.10: a relative error of ε or more is at most this often over dimension · ε²."""
    squared = 1 / cosine**2
    return 2 * (order - 1) if squared == 1 else 2 * squared * (squared**order - 1) / (squared - 1)


@pytest.mark.parametrize("cosine", [1.0, 0.8, 0.5])
def test_inner_products_are_powers_on_average_and_vary_within_the_bound(cosine: float) -> None:
    many, dimension, order = 800, 64, 4
    x = torch.nn.functional.normalize(torch.randn(20, generator=torch.Generator().manual_seed(1)), dim=0)
    y = torch.nn.functional.normalize(torch.randn(20, generator=torch.Generator().manual_seed(2)), dim=0)
    y = torch.nn.functional.normalize(y - (y @ x) * x, dim=0)
    maps = 1.5 * torch.stack([x, cosine * x + math.sqrt(1 - cosine**2) * y])[:, None]
    found = torch.zeros(many, order - 1, dtype=torch.float64)
    apart = torch.zeros(many, dtype=torch.float64)
    for seed in range(many):
        sketch = TensorSketch(20, order, dimension, seed)
        for level, both in enumerate(sketch(maps)):
            found[seed, level] = both[0] @ both[1]
        one, other = (_parts_apart(sketch, vector) for vector in maps[:, 0])
        apart[seed] = one @ other
    exact = torch.tensor([float(maps[0, 0] @ maps[1, 0]) ** level for level in range(2, order + 1)])
    relative = found / exact - 1
    for level in range(2, order + 1):
        errors = relative[:, level - 2]
        # Avron, Nguyen and Woodruff, NIPS 2014: what the variance is at most, relative to the squares of the lengths.
        # Δ(p) / dimension is exceeded where the angle is small, though the frequencies of Eq. 3.10 hold.
        variance = (2 + 3**level) / dimension / cosine ** (2 * level)
        assert abs(float(errors.mean())) < 4 * math.sqrt(variance / many)
        assert float(errors.square().mean()) < variance
        for error in (0.25, 0.5, 1, 2):
            often = float((errors.abs() >= error).double().mean())
            assert often <= published_bound(cosine, level) / (dimension * error**2)
    # What multiplies the real and the imaginary parts apart has other inner products.
    assert abs(float(apart.mean() / exact[0]) - 1) > 0.2


def _parts_apart(sketch: TensorSketch, vector: Tensor) -> Tensor:
    empty = torch.zeros(sketch.dimension)
    signed = sketch.signs * vector
    one, other = (torch.fft.fft(empty.index_add(0, sketch.places[n].long(), signed[n])) for n in (0, 1))
    return torch.fft.ifft(torch.complex(one.real * other.real, one.imag * other.imag)).real


def test_the_seed_decides_the_hash_functions_and_nothing_else_is_drawn() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    one, same, other = (TensorSketch(50, 3, 32, seed).state_dict() for seed in (7, 7, 8))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not any(torch.equal(one[name], other[name]) for name in one)
    assert one["places"].min() >= 0
    assert one["places"].max() < 32
    assert set(one["signs"].unique().tolist()) == {-1, 1}
    # Each order has functions of its own.
    assert len({tuple(row.tolist()) for row in one["places"]}) == 3
