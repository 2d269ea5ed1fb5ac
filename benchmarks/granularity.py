"""RankM at a million images and a thousand classes, and the nearest images of an audit: time, and memory in blocks."""

import numpy as np
import numpy.typing as npt

from benchmarks.measure import measured
from benchmarks.table import Aim, Table, main
from longtail.audit.duplicates import duplicates
from longtail.audit.neighbours import neighbours
from longtail.granularity.distance import euclidean
from longtail.granularity.granularity import granularity_of

DIMENSIONS, CLASSES = 64, 1_000
SIZES, FULL = (10_000, 100_000), 1_000_000
EXACT = 5_000  # images of which all four measures are worked out
AUDIT = 20_000
MEMORY = 1.0  # GiB beside the points, of a million images

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


def run(full: bool) -> Table:
    """A minute; with --full a million images too."""
    table = Table(
        "Granularity and audit",
        f"Points of {DIMENSIONS} dimensions about the centres of {CLASSES:,} classes; one thread. Memory: what is "
        "taken beside the points.",
        ["what", "images", "seconds", "memory, MiB"],
    )
    names = [str(code) for code in range(CLASSES)]
    for images in (FULL,) if full else SIZES:
        points, labels = drawn(images)
        took, memory = measured(lambda: granularity_of(euclidean(points), labels, names, exact=False))  # noqa: B023
        table.add("RankM, RSM, the finest pairs", f"{images:,}", f"{took:.1f}", f"{memory:.0f}")
        if full:
            what = f"memory of RankM beside the points, {images:,} images, {CLASSES:,} classes"
            table.aims.append(Aim(what, f"≤ {MEMORY:g} GiB", f"{memory / 1024:.2f} GiB", memory / 1024 <= MEMORY))
    if not full:
        points, labels = drawn(EXACT)
        took, memory = measured(lambda: granularity_of(euclidean(points), labels, names, exact=True))
        table.add("all four measures", f"{EXACT:,}", f"{took:.1f}", f"{memory:.0f}")
        points, _ = drawn(AUDIT)
        took, memory = measured(lambda: duplicates(neighbours(points, np.arange(AUDIT), 20)))
        table.add("near-duplicates of an audit", f"{AUDIT:,}", f"{took:.1f}", f"{memory:.0f}")
    return table


def drawn(images: int) -> tuple[Floats, Ints]:
    """Points (n, d) and the class codes (n,)."""
    rng = np.random.default_rng(images)
    labels = rng.integers(0, CLASSES, images)
    centres = rng.normal(size=(CLASSES, DIMENSIONS)).astype(np.float32)
    return centres[labels] + 2 * rng.standard_normal((images, DIMENSIONS), np.float32), labels


if __name__ == "__main__":
    main(run)
