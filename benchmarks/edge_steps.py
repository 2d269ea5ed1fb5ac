"""What the steps of an edge pipeline take as patches grow, and the quintuplet table of two million anchors in parts.

The photographs are BSDS500: LONGTAIL_BSDS500 names the archive or folder.
"""

import os
import subprocess
import sys
import tempfile
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.measure import MIB, measured
from benchmarks.table import Aim, Table, main

BSDS500 = "LONGTAIL_BSDS500"
PATCHES = (150, 300, 1_000)  # of each of 200 photographs for training
WANTED = 2_000_000  # LMLE's
ITERATIONS, BATCH = 60, 128
PARTS, CLASSES, DIMENSIONS, CLUSTER = 4, 151, 64, 200
MEMORY = 12.0  # GiB that two million patches must not need
STEPS = {
    "ingest": ("--data", "data", "--dataset", "dataset"),
    "split": ("--dataset", "dataset", "--split", "split"),
    "start": ("--dataset", "dataset", "--split", "split", "--model", "start"),
    "fit": ("--name", "softmax", "--dataset", "dataset", "--split", "split", "--previous", "start", "--model", "fit"),
    "cluster": ("--split", "split", "--model", "fit", "--clusters", "clusters"),
    "quintuplets": ("--split", "split", "--model", "fit", "--clusters", "clusters", "--quintuplets", "quintuplets"),
    "index": ("--split", "split", "--model", "fit", "--index", "index"),
}


def run(full: bool) -> Table | None:
    """Half an hour: steps at 30,000, 60,000 and 200,000 patches; with --full the table of two million anchors."""
    if full:
        return two_million()
    if BSDS500 not in os.environ:
        print(f"error: {BSDS500} names no archive of BSDS500", file=sys.stderr)
        return None
    table = Table(
        "Steps of an edge pipeline as patches grow",
        f"BSDS500, deep_contour, an embedding of {DIMENSIONS}, one thread; processor seconds, and the largest "
        f"resident memory of each step's process. `fit`: {ITERATIONS} iterations of {BATCH}, and all embeddings. "
        f"{WANTED:,}: by the growth from the smallest to the largest, not run.",
        ["step", *(f"{200 * count:,}" for count in PATCHES), f"{WANTED:,}, extrapolated"],
    )
    taken = {count: steps(count) for count in PATCHES}
    for name in STEPS:
        of_step = [taken[count][name] for count in PATCHES]
        cells = [f"{took:.0f} s, {memory:,.0f} MiB" for took, memory in of_step]
        took, memory = (extrapolated([values[i] for values in of_step]) for i in (0, 1))
        table.add(name, *cells, f"{took / 60:.0f} minutes, {memory / 1024:.1f} GiB")
        goal, found = f"< {MEMORY:g} GiB", f"{memory / 1024:.1f} GiB"
        table.aims.append(
            Aim(f"memory of `{name}` at {WANTED:,} patches, extrapolated", goal, found, memory / 1024 < MEMORY)
        )
    return table


def extrapolated(values: list[float]) -> float:
    """On a line through the smallest and the largest."""
    sizes = [200 * count for count in PATCHES]
    slope = max(0.0, (values[-1] - values[0]) / (sizes[-1] - sizes[0]))
    return values[-1] + slope * (WANTED - sizes[-1])


def steps(patches: int) -> dict[str, tuple[float, float]]:
    """Processor seconds and MiB of each step."""
    archive = Path(os.environ[BSDS500]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        text = yaml.safe_dump(sections(patches, archive))
        Path(folder, "params.yaml").write_text(text, encoding="utf-8")
        return {
            name: step(name, [str(archive.parent) if word == "data" else word for word in words], folder)
            for name, words in STEPS.items()
        }


def sections(patches: int, archive: Path) -> dict[str, Any]:
    """The parameters."""
    source = {"kind": "bsds500", "path": archive.name, "patches": patches, "held_out": 50, "classes": CLASSES - 1}
    how = {"iterations": ITERATIONS, "optimiser": "adamw", "learning_rate": 0.001}
    return {
        "cluster_size": CLUSTER,
        "network": {"backbone": "deep_contour", "embedding": DIMENSIONS},
        "ingest": {"source": source, "image_shape": [45, 45, 3]},
        "split": {},
        "start": {"prior": "random", "embeddings": False},
        "fits": {"softmax": {"after": "start", "batch": BATCH, "sampling": "natural", "optimisation": how}},
        "quintuplets": {"pool_per_class": 2, "pool_per_cluster": 2, "pools": 64},
        "index": {"rules": ["cluster_wise"]},
    }


def step(name: str, words: list[str], folder: str) -> tuple[float, float]:
    """Run one in a process of its own."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "LONGTAIL_TRACKING": "off"}
    process = subprocess.Popen([sys.executable, "-m", "longtail", name, *words], cwd=folder, env=environment)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"error: {name} failed")
    return used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / MIB


def two_million() -> Table:
    """The table of two million anchors, its parts one after the other, each in a process of its own."""
    table = Table(
        f"Quintuplet table of {WANTED:,} anchors in {PARTS} parts",
        f"Points of {DIMENSIONS} dimensions on the sphere, half of one class, the others of {CLASSES - 1}; "
        f"clusters of {CLUSTER}; 64 pools of two samples a class and cluster; one thread. Memory: of its process.",
        ["part", "anchors", "seconds", "memory, MiB"],
    )
    for number in range(PARTS):
        with get_context("spawn").Pool(1) as pool:
            anchors, took, memory = pool.apply(part_of_table, (number,))
        table.add(str(number), f"{anchors:,}", f"{took:.0f}", f"{memory:,.0f}")
        table.aims.append(
            Aim(
                f"memory of part {number} of {PARTS}, {WANTED:,} anchors",
                f"< {MEMORY:g} GiB",
                f"{memory / 1024:.1f} GiB",
                memory / 1024 < MEMORY,
            )
        )
    return table


def part_of_table(number: int) -> tuple[int, float, float]:
    """Anchors, seconds and MiB of one part."""
    # Not above: what this process has in memory counts in that of each step that it starts.
    from longtail.quintuplets.pools import pooled_tables
    from longtail.quintuplets.table import Part

    rng = np.random.default_rng(0)
    points = rng.standard_normal((WANTED, DIMENSIONS), np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    labels = np.where(rng.random(WANTED) < 0.5, 0, rng.integers(1, CLASSES, WANTED))
    within = rng.integers(0, np.maximum(1, np.bincount(labels) // CLUSTER)[labels])
    clusters = np.unique(labels * WANTED + within, return_inverse=True)[1]
    found: list[int] = []

    def work() -> None:
        made = pooled_tables(
            points,
            [(labels, clusters)],
            pools=64,
            per_class=2,
            per_cluster=2,
            rng=np.random.default_rng(1),
            part=Part(number, PARTS),
        )
        found.append(len(made[0].members))

    took, above = measured(work)
    return found[0], took, above + points.nbytes / MIB


if __name__ == "__main__":
    main(run)
