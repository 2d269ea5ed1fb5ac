"""The quintuplet table on a GPU, against the bare product on the same card."""

import torch

from benchmarks.attributes import CELEBA, DIMENSIONS, Floats, attribute, embeddings
from benchmarks.gpu import MATRIX, matmul_ceiling
from benchmarks.machine import gpu
from benchmarks.measure import Spread, alternate, ratio
from benchmarks.table import Table, main
from longtail.quintuplets.search import Device, quintuplet_tables

MILLION = 1_000_000
RATE = 0.25
BLOCK = 4096


def run(full: bool) -> Table | None:
    """n = 81,385; with --full also n = 1,000,000."""
    card = gpu()
    if card is None:
        return None
    table = Table(
        "Quintuplet table on a GPU",
        "Every sample is an anchor and a candidate, one attribute. The product is in float32, without TF32, and so is "
        "the ceiling, that of large square matrices.",
        ["n", "bare product (s)", "of the ceiling", "table (s)", "table to product"],
        settings={**card, "embedding": f"{DIMENSIONS}, seed 0"},
    )
    ceiling = matmul_ceiling(torch.device("cuda"), torch.float32, MATRIX)
    for count in (CELEBA, MILLION) if full else (CELEBA,):
        add_table(table, count, "cuda", ceiling)
    return table


def add_table(table: Table, count: int, device: Device, ceiling: float) -> None:
    """Measure a row; `ceiling` in FLOP/s."""
    points, task = embeddings(count, 0), attribute(count, RATE, 0)
    times = alternate(
        {
            "product": lambda: _product(points, device),
            "table": lambda: quintuplet_tables(points, [task], device=device),
        },
        pairs=3,
    )
    product = Spread.of(times["product"])
    reached = 2 * count**2 * DIMENSIONS / product.median / ceiling
    seconds = Spread.of(times["table"]).text()
    table.add(f"{count:,}", product.text(), f"{reached:.0%}", seconds, ratio(times["table"], times["product"]).text())


def _product(points: Floats, device: Device) -> None:
    x = torch.from_numpy(points).to(device)
    for start in range(0, len(x), BLOCK):
        x @ x[start : start + BLOCK].T
    if device == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main(run)
