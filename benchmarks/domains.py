"""Domain similarity at the size of its paper: ImageNet and iNaturalist, 6,089 classes, against the 200 of CUB."""

from time import process_time

import numpy as np

from benchmarks.measure import peak_memory, seconds
from benchmarks.table import Aim, Table, main
from longtail.transfer.domain import Domain
from longtail.transfer.selection import select_classes
from longtail.transfer.similarity import class_distances, earth_movers_distance

SOURCE, TARGET, LENGTH, TARGETS = 6_089, 200, 2_048, 7
GOAL, MEMORY = 60.0, 4.0  # seconds, GiB


def run(full: bool) -> Table:
    """A minute; there is no larger size."""
    table = Table(
        "Domain similarity",
        f"Earth Mover's Distance between {SOURCE:,} and {TARGET} class means of {LENGTH:,} drawn features, the "
        f"classes having 200 to 5,000 and 20 to 60 images; and the classes selected for {TARGETS} such targets.",
        ["what", "CPU seconds"],
        settings={"solver": "HiGHS, by scipy"},
    )
    random = np.random.default_rng(0)
    source = _domain("source", SOURCE, (200, 5000), random)
    targets = [_domain(f"target {place}", TARGET, (20, 60), random) for place in range(TARGETS)]
    distances = class_distances(source, targets[0])
    shares = source.shares, targets[0].shares
    most = peak_memory(lambda: earth_movers_distance(distances, *shares)) / 1024  # before anything is kept
    took = seconds(lambda: earth_movers_distance(distances, *shares), process_time)
    table.add("distances of class means", f"{seconds(lambda: class_distances(source, targets[0]), process_time):.2f}")
    table.add("Earth Mover's Distance, exact", f"{took:.1f}")
    selected = seconds(lambda: select_classes(source, targets, [200]), process_time)
    table.add(f"selection of 200 classes for each of {TARGETS} targets", f"{selected:.2f}")
    table.add("memory of the Earth Mover's Distance", f"{most:.2f} GiB")
    what = f"CPU time of the Earth Mover's Distance of {SOURCE:,} × {TARGET} classes"
    table.aims.append(Aim(what, f"≤ {GOAL:.0f} s", f"{took:.1f} s", took <= GOAL))
    table.aims.append(
        Aim(
            f"memory of the Earth Mover's Distance of {SOURCE:,} × {TARGET} classes",
            f"≤ {MEMORY:.0f} GiB",
            f"{most:.2f} GiB",
            most <= MEMORY,
        )
    )
    return table


def _domain(name: str, classes: int, images: tuple[int, int], random: np.random.Generator) -> Domain:
    """Classes of which some are alike: features have the spread of a mixture, and not that of one ball."""
    centres = random.normal(0, 1, (32, LENGTH))[random.integers(0, 32, classes)]
    means = centres + random.normal(0, 0.5, (classes, LENGTH))
    return Domain(name, [f"{place}" for place in range(classes)], means, random.integers(*images, classes))


if __name__ == "__main__":
    main(run)
