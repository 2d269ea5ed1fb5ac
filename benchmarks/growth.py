"""How the time of a quintuplet table grows with the number of samples, and that it stays exact."""

import numpy as np

from benchmarks.attributes import CLUSTER_SIZE, DIMENSIONS, attribute, embeddings, masked_partners
from benchmarks.measure import seconds
from benchmarks.table import FIGURES, Aim, Table, main
from longtail.quintuplets.search import quintuplet_tables
from longtail.quintuplets.table import QuintupletTable

SIZES = (10_000, 20_000, 40_000, 80_000, 160_000)
QUICK = SIZES[:4]
CHECKED = 200
RATE = 0.25
TOLERANCE = 1e-5


def run(full: bool) -> Table:
    """Tables of one attribute from n = 10,000 to 80,000; with --full to 160,000."""
    sizes = SIZES if full else QUICK
    table = Table(
        f"Growth of the quintuplet table{' to 160,000' if full else ''}",
        f"Of {CHECKED} anchors the partners are compared with a plain search in double precision.",
        ["n", "time (s)", "largest deviation of a distance from the extreme"],
        settings={
            "embedding": f"{DIMENSIONS} on the sphere, seed 0",
            "clusters": f"of {CLUSTER_SIZE}",
            "positives": str(RATE),
        },
    )
    times, worst = [], 0.0
    for count in sizes:
        points, task = embeddings(count, 0), attribute(count, RATE, 0)
        made: list[QuintupletTable] = []
        times.append(seconds(lambda: made.extend(quintuplet_tables(points, [task]))))  # noqa: B023 (called at once)
        anchors = np.random.default_rng(1).choice(count, CHECKED, replace=False)
        expected = masked_partners(points.astype(np.float64), task, anchors)
        deviation = float(np.abs(_distances(points, made[0].members[anchors]) - expected).max())
        worst = max(worst, deviation)
        table.add(f"{count:,}", f"{times[-1]:.2f}", f"{deviation:.1e}")
    exponent = float(np.polyfit(np.log(sizes), np.log(times), 1)[0])
    table.notes.append(f"time grows as n to the power {exponent:.2f} (least squares on the logarithms)")
    table.figure = _plot(sizes, times, exponent, full)
    table.aims.append(
        Aim(
            f"exact from n = {sizes[0]:,} to {sizes[-1]:,}: deviation from the oracle's distance",
            f"≤ {TOLERANCE}",
            f"{worst:.1e}, time ∝ n^{exponent:.2f}",
            worst <= TOLERANCE,
        )
    )
    return table


def _distances(points: np.ndarray, members: np.ndarray) -> np.ndarray:
    x = points.astype(np.float64)
    squared: np.ndarray = ((x[members[:, :1]] - x[members[:, 1:]]) ** 2).sum(axis=2)
    return squared


def _plot(sizes: tuple[int, ...], times: list[float], exponent: float, full: bool) -> str:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.loglog(sizes, times, "o", label="measured")
    fitted = np.exp(np.polyval(np.polyfit(np.log(sizes), np.log(times), 1), np.log(sizes)))
    axes.loglog(sizes, fitted, "-", label=f"$n^{{{exponent:.2f}}}$")
    axes.set(xlabel="samples n (all anchors and candidates)", ylabel="seconds", title="Quintuplet table, one attribute")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()
    name = f"growth{'-full' if full else ''}.svg"
    FIGURES.mkdir(exist_ok=True)
    figure.savefig(FIGURES / name, metadata={"Date": None})
    return f"benchmarks/{name}"


if __name__ == "__main__":
    main(run)
