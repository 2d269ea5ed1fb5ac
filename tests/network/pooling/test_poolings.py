"""The pooling layers: the kernels that they approximate, gradients, bfloat16, memory, and what travels with them."""

import math
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from benchmarks.measure import MIB, peak_memory
from longtail.network.pooling import layer as pooling_layer
from longtail.network.pooling.bilinear import Bilinear
from longtail.network.pooling.kernel import CompactBilinear, Kernel
from longtail.network.pooling.layer import EPSILON, MapPooling, signed_square_root

CHANNELS = 12


def kernel(
    *, order: int = 3, dimension: int = 32, seed: int = 0, gamma: float = 0.1, learned: bool = True, channels: int = 12
) -> Kernel:
    return Kernel(channels, order, dimension, seed, gamma=gamma, learned=learned)


LAYERS: dict[str, Callable[[], MapPooling]] = {
    "bilinear": lambda: Bilinear(CHANNELS),
    "compact_bilinear": lambda: CompactBilinear(CHANNELS, 31, 0),
    "kernel": kernel,
}
every_layer = pytest.mark.parametrize("name", LAYERS)


def maps(images: int = 4, positions: int = 5, channels: int = CHANNELS) -> Tensor:
    return torch.rand(images, positions, channels, generator=torch.Generator().manual_seed(0))


@every_layer
def test_images_lie_on_the_unit_sphere_whatever_the_order_of_their_positions(name: str) -> None:
    layer, some = LAYERS[name](), maps()
    found = layer(some)
    assert found.shape == (4, layer.length)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(layer(some.flip(1)), found, atol=1e-3, rtol=0)
    assert layer(some[:0]).shape == (0, layer.length)


def test_bilinear_pooling_has_the_inner_products_of_whole_outer_products() -> None:
    some = maps() - 0.5
    outer = torch.einsum("npi,npj->nij", some, some).flatten(1) / some.shape[1]
    rooted = outer.sign() * outer.abs().sqrt()
    whole = torch.nn.functional.normalize(rooted, dim=1)
    found = Bilinear(CHANNELS)(some)
    assert found.shape[1] == CHANNELS * (CHANNELS + 1) // 2
    torch.testing.assert_close(found @ found.T, whole @ whole.T, atol=1e-3, rtol=0)


def test_the_constant_counts_its_coefficient_once_and_each_order_its_own() -> None:
    """Eq. 3.1 and 3.7; the squared coefficient of Algorithm 1's first line would make its fourth power of α_0."""
    alphas = torch.tensor([0.5, -2.0, 0.0, 0.0])
    one = kernel()
    one.coefficients.data.copy_(alphas)
    x, y = maps(2, 1)
    found = one.averaged(torch.stack([x, y])).detach()
    assert float(found[0] @ found[1]) == pytest.approx(0.25 + 4 * 0.2 * float(x[0] @ y[0]), rel=1e-5)


@pytest.mark.parametrize("cosine", [0.6, 0.95])
def test_inner_products_are_the_taylor_series_of_the_rbf_on_average(cosine: float) -> None:
    x = torch.zeros(CHANNELS)
    x[:2] = torch.tensor([1.0, 0.0])
    y = torch.zeros(CHANNELS)
    y[:2] = torch.tensor([cosine, math.sqrt(1 - cosine**2)])
    pairs, gamma = torch.stack([x, y])[:, None], 0.7
    found = []
    for seed in range(300):
        features = kernel(order=4, seed=seed, gamma=gamma).averaged(pairs).detach()
        found.append(float(features[0] @ features[1]))
    series = sum((2 * gamma * cosine) ** level / math.factorial(level) for level in range(5))
    assert sum(found) / len(found) == pytest.approx(series, rel=0.03)
    # β exp(2γ xᵀy), where β = exp(−2γ) is the factor that is left out.
    rbf = math.exp(-gamma * float((x - y).square().sum()))
    assert math.exp(-2 * gamma) * series == pytest.approx(rbf, rel=0.02)


def rbf_error(*, dimension: int, order: int, gamma: float = 1.0) -> float:
    """Eq. 3.12, the mean over pairs of vectors and hash functions."""
    vectors = maps(60, 1, 64)
    vectors = vectors / vectors.square().sum(2).mean().sqrt()
    errors = []
    for seed in range(5):
        layer = kernel(channels=64, dimension=dimension, order=order, gamma=gamma, seed=seed, learned=False)
        features = layer.averaged(vectors).detach()
        exact = (2 * gamma * vectors[:, 0] @ vectors[:, 0].T).exp()
        errors.append(((features @ features.T - exact).abs() / exact).fill_diagonal_(0).mean())
    return float(torch.stack(errors).mean())


def test_the_error_of_the_rbf_falls_with_the_dimension_the_order_and_gamma() -> None:
    """Figure 3.6."""
    by_dimension = [rbf_error(dimension=dimension, order=4) for dimension in (64, 256, 1024, 4096)]
    assert by_dimension == sorted(by_dimension, reverse=True)
    assert by_dimension[0] > 2.5 * by_dimension[3]
    by_order = [rbf_error(dimension=4096, order=order) for order in (2, 3, 4)]
    assert by_order == sorted(by_order, reverse=True)
    by_gamma = [rbf_error(dimension=1024, order=4, gamma=gamma) for gamma in (2, 1, 0.5, 0.1)]
    assert by_gamma == sorted(by_gamma, reverse=True)
    assert by_gamma[-1] < 0.01


@every_layer
def test_gradients_are_those_of_the_function(name: str) -> None:
    layer = LAYERS[name]().double()
    parameters = list(layer.parameters())
    some = (maps(2, 3).double() - 0.3).requires_grad_()

    def pooled(values: Tensor, *_: Tensor) -> Tensor:
        return torch.nn.functional.normalize(signed_square_root(layer.averaged(values)), dim=1)

    assert torch.autograd.gradcheck(pooled, (some, *parameters))


@every_layer
@pytest.mark.parametrize("value", [0.0, 1e-30, -1e-20])
def test_gradients_are_finite_at_zero(name: str, value: float) -> None:
    layer, some = LAYERS[name](), torch.full((2, 3, CHANNELS), value, requires_grad=True)
    layer(some).sum().backward()
    assert some.grad is not None
    assert bool(some.grad.isfinite().all())
    for parameter in layer.parameters():
        assert parameter.grad is not None
        assert bool(parameter.grad.isfinite().all())


def test_the_signed_square_root_has_its_own_slope_at_zero() -> None:
    values = torch.tensor([-4.0, -1e-12, 0.0, 1e-12, 9.0], requires_grad=True)
    found = signed_square_root(values)
    found.sum().backward()
    assert found.detach().tolist() == pytest.approx([-2, 0, 0, 0, 3], abs=1e-3)
    assert values.grad is not None
    assert values.grad.tolist() == pytest.approx([0.25, *[1 / (2 * EPSILON**0.5)] * 3, 1 / 6], rel=1e-3)


@every_layer
def test_in_bfloat16_it_works_in_float32(name: str) -> None:
    layer = LAYERS[name]()
    halved = maps().bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(halved)
    assert found.dtype == torch.float32
    assert torch.equal(found, layer(halved.float()))
    found.sum().backward()
    assert halved.grad is not None
    assert bool(halved.grad.isfinite().all())


@every_layer
def test_a_mini_batch_in_parts_has_the_same_values_and_gradients(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, found = LAYERS[name](), []
    for limit in (pooling_layer.WORKING_BYTES, 2 * layer.working_bytes(5, gradients=True)):
        monkeypatch.setattr(pooling_layer, "WORKING_BYTES", limit)
        some = maps(7).requires_grad_()
        layer.zero_grad()
        pooled = layer(some)
        (pooled * torch.arange(layer.length)).sum().backward()
        assert some.grad is not None
        found.append([pooled.detach(), some.grad, *(p.grad for p in layer.parameters() if p.grad is not None)])
    for whole, in_parts in zip(*found, strict=True):
        torch.testing.assert_close(in_parts, whole, atol=1e-4, rtol=1e-3)


@every_layer
@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("images", [1, 6, 7])
def test_no_more_images_are_pooled_at_a_time_than_memory_is_for(
    name: str, images: int, gradients: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, sizes = LAYERS[name](), []
    averaged = layer.averaged
    monkeypatch.setattr(layer, "averaged", lambda some: sizes.append(len(some)) or averaged(some))
    monkeypatch.setattr(pooling_layer, "WORKING_BYTES", 3 * layer.working_bytes(5, gradients=gradients))
    layer(maps(images).requires_grad_(gradients))
    assert sum(sizes) == images
    assert max(sizes) == min(3, images)
    with torch.no_grad():  # an answer keeps nothing for a way back
        sizes.clear()
        monkeypatch.setattr(pooling_layer, "WORKING_BYTES", 3 * layer.working_bytes(5, gradients=False))
        layer(maps(images).requires_grad_(gradients))
    assert max(sizes) == min(3, images)


@every_layer
def test_a_compiled_layer_bounds_its_memory_too(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, some, parts = LAYERS[name](), maps(7), []
    expected = layer(some)

    def counted(graph: torch.fx.GraphModule, _: list[Tensor]) -> Callable[..., object]:
        parts.extend(node for node in graph.graph.nodes if "checkpoint" in str(node.target))
        return graph.forward

    monkeypatch.setattr(pooling_layer, "WORKING_BYTES", 3 * layer.working_bytes(5, gradients=False))
    found = torch.compile(layer, backend=counted)(some)
    assert len(parts) == 3
    torch.testing.assert_close(found, expected)


def kept(layer: MapPooling, some: Tensor) -> int:
    """Bytes that the way back through a pooling of these maps needs."""
    storages: dict[int, torch.UntypedStorage] = {}

    def keep(value: Tensor) -> Tensor:
        storages[value.untyped_storage().data_ptr()] = value.untyped_storage()
        return value

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        layer(some.requires_grad_())
    return sum(storage.nbytes() for storage in storages.values())


@given(
    order=st.integers(2, 6), dimension=st.integers(20, 600), channels=st.integers(2, 600), positions=st.integers(6, 49)
)
@settings(max_examples=40, deadline=None)
def test_memory_is_reckoned_for_all_that_the_way_back_needs(
    order: int, dimension: int, channels: int, positions: int
) -> None:
    """Of all orders, not of the last one alone; and for no more than twice as much, or images wait without need."""
    of_kernel = kernel(order=order, dimension=dimension, channels=channels)
    for layer in (of_kernel, CompactBilinear(channels, dimension, 0)):
        # What three images more need: the hash functions are there once.
        more = kept(layer, maps(4, positions, channels)) - kept(layer, maps(1, positions, channels))
        assert more / 3 <= layer.working_bytes(positions, gradients=True) <= 2.5 * more / 3


def risen(layer: MapPooling, some: Tensor, gradients: bool) -> float:
    """By how many MiB this process grows while it pools these maps, and goes back."""

    def work() -> None:
        with torch.set_grad_enabled(gradients):
            pooled = layer(some.requires_grad_(gradients))
        if gradients:
            pooled.sum().backward()

    work()  # imports, and what libraries keep
    return peak_memory(work)


@pytest.mark.slow
@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize(
    ("layer", "images"),
    [
        (Bilinear(1280), 64),
        (CompactBilinear(1280, 8192, 0), 78),
        (kernel(channels=1280, order=4, dimension=4096), 78),
        (kernel(channels=1280, order=2, dimension=512), 500),
    ],
    ids=["bilinear", "compact_bilinear", "kernel", "small_kernel"],
)
def test_the_memory_of_pooling_is_that_of_its_result(
    layer: MapPooling, images: int, gradients: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1,280 channels: whole outer products alone would be 400 MiB, what the way back needs of four orders 900."""
    # A process of its own: the C library else keeps freed arrays of up to 32 MiB, in pieces that none fits into.
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "65536")
    some = maps(images, 49, 1280)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        most = pool.submit(risen, layer, some, gradients).result()
    in_parts_and_joined = 2 * images * layer.length * 4
    of_maps = 2 * some.nbytes if gradients else 0  # in parts and joined too
    assert most < 1.15 * (in_parts_and_joined + of_maps + pooling_layer.WORKING_BYTES) / MIB


@every_layer
def test_the_hash_functions_travel_with_the_weights(name: str) -> None:
    others = {
        "bilinear": Bilinear(CHANNELS),
        "compact_bilinear": CompactBilinear(CHANNELS, 31, 1),
        "kernel": kernel(seed=1, gamma=0.5),
    }
    one, other = LAYERS[name](), others[name]
    assert torch.equal(one(maps()), other(maps())) == (name == "bilinear")
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(maps()), other(maps()))


@pytest.mark.parametrize("decay", [0.9, 0.95, 0.98])
def test_an_average_of_weights_leaves_the_hash_functions_alone(decay: float) -> None:
    """With decays of 0.9 and 0.95 torch makes other numbers of a quarter of all integers below 4,096."""
    layer = kernel(channels=500, dimension=4096)
    averaged = AveragedModel(layer, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)  # type: ignore[no-untyped-call]
    for _ in range(20):
        averaged.update_parameters(layer)
    for key, value in layer.state_dict().items():
        assert torch.equal(averaged.module.state_dict()[key], value), key
