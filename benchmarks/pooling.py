"""Poolings of a backbone's maps: what each costs an image beside the paper's 50 ms, its memory, and the RBF's error."""

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.measure import MIB, Spread, alternate, peak_memory
from benchmarks.table import Aim, Table, main
from longtail.network.pooling import layer as pooling_layer
from longtail.network.pooling.bilinear import Bilinear
from longtail.network.pooling.kernel import CompactBilinear, Kernel

IMAGES, POSITIONS, CHANNELS = 8, 49, 512
MANY = 64  # images, of 1,280 channels, whose outer products memory is measured of
PAPER = 50  # ms, forward and backward on a Tesla K40; how many images that is of is not said
PAIRS = 100  # vectors, every one with every other
AVERAGE = "average"
LAYERS: dict[str, Callable[[Tensor], Tensor]] = {
    AVERAGE: lambda maps: maps.mean(1),
    "bilinear, all 131,328 products": Bilinear(CHANNELS),
    "compact bilinear, d = 12,288": CompactBilinear(CHANNELS, 12288, 0),
    "kernel, p = 4, d̄ = 4,096": Kernel(CHANNELS, 4, 4096, 0, gamma=0.01, learned=True),
}


def run(full: bool) -> Table:
    """A minute or two; there is no larger size."""
    table = Table(
        "Kernel pooling",
        f"Maps of {POSITIONS} positions and {CHANNELS} channels, as VGG-16's at 224 × 224 are but for its 14 × 14 "
        f"positions; {IMAGES} images at a time. The paper says about {PAPER} ms for p = 4 and d̄ = 4,096, forward and "
        "backward, on a Tesla K40. The errors are Eq. 3.12 on rectified normal vectors, γ in units of one over their "
        "mean inner product, Figure 3.6 in shape; those of a network's own features are another's.",
        ["what", "figure", "with its gradient"],
        settings={"torch threads": str(torch.get_num_threads())},
    )
    _memory(table)
    _times(table)
    _errors(table)
    return table


def _times(table: Table) -> None:
    torch.manual_seed(0)
    maps = torch.randn(IMAGES, POSITIONS, CHANNELS).relu()
    forward = alternate({name: _forward(layer, maps) for name, layer in LAYERS.items()}, pairs=9)
    both = alternate({name: _both(layer, maps) for name, layer in LAYERS.items()}, pairs=9)
    for name in LAYERS:
        cells = [Spread.of([1000 / IMAGES * value for value in took[name]]).text() for took in (forward, both)]
        table.add(f"{name}, an image", *(f"{cell} ms" for cell in cells))
    found = Spread.of([1000 / IMAGES * value for value in both[list(LAYERS)[-1]]])
    what = "kernel pooling of an image of 7 × 7 × 512, forward and backward, against the paper's on a K40"
    table.aims.append(Aim(what, f"≤ {PAPER} ms", f"{found.text('{:.0f}')} ms", found.median <= PAPER))


def _forward(layer: Callable[[Tensor], Tensor], maps: Tensor) -> Callable[[], object]:
    def work() -> None:
        with torch.no_grad():
            layer(maps)

    return work


def _both(layer: Callable[[Tensor], Tensor], maps: Tensor) -> Callable[[], object]:
    def work() -> None:
        layer(maps.clone().requires_grad_()).sum().backward()  # type: ignore[no-untyped-call]

    return work


def _memory(table: Table) -> None:
    layer = Bilinear(1280)
    risen = [peak_memory(work(layer, torch.rand(MANY, POSITIONS, 1280))) for work in (_forward, _both)]
    result = MANY * layer.length * 4 / MIB
    what = f"memory of bilinear pooling, {MANY} images of 1,280 channels (the result is {result:.0f} MiB)"
    table.add(what, *(f"{most:.0f} MiB" for most in risen))
    goal = 1.25 * (2 * result + pooling_layer.WORKING_BYTES / MIB)
    table.aims.append(Aim(what, f"≤ {goal:.0f} MiB", f"{max(risen):.0f} MiB", max(risen) <= goal))


def _errors(table: Table) -> None:
    torch.manual_seed(0)
    vectors = torch.randn(PAIRS, 1, CHANNELS).relu()
    gamma = 1 / float(vectors.mean(0).square().sum())
    for order, dimension, share in (
        *((4, dimension, 1.0) for dimension in (256, 1024, 4096)),
        *((order, 4096, 1.0) for order in (2, 3)),
        *((4, 4096, share) for share in (0.5, 0.1)),
    ):
        error = Spread.of([_error(vectors, order, dimension, share * gamma, seed) for seed in range(5)])
        name = f"relative error of the RBF: p = {order}, d̄ = {dimension:,}, γ = {share:g}"
        table.add(name, f"{error.text('{:.3f}')}", "–")


def _error(vectors: Tensor, order: int, dimension: int, gamma: float, seed: int) -> float:
    """The mean of Eq. 3.12 over pairs of two vectors; β is on both sides, and so on none."""
    with torch.no_grad():
        features = Kernel(CHANNELS, order, dimension, seed, gamma=gamma, learned=False).averaged(vectors)
    exact = (2 * gamma * vectors[:, 0] @ vectors[:, 0].T).exp()
    errors = (features @ features.T - exact).abs() / exact
    pairs = ~torch.eye(len(vectors), dtype=torch.bool)
    return float(errors[pairs].mean())


if __name__ == "__main__":
    main(run)
