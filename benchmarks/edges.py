"""The boundary benchmark of BSDS500 on crops of photographs: a matching, an image, and what 200 images would take."""

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from skimage.feature import canny
from skimage.filters import gaussian, sobel
from skimage.morphology import thin
from sklearn.datasets import load_sample_images

from benchmarks.measure import Spread, alternate, ratio, seconds
from benchmarks.table import Aim, Table, main
from longtail.problems.edges.evaluation.case import Case
from longtail.problems.edges.evaluation.correspondence import correspondence
from longtail.problems.edges.evaluation.counts import MAX_DISTANCE
from longtail.problems.edges.evaluation.evaluation import counted, evaluate
from longtail.problems.edges.evaluation.settings import Settings, Suppression

Pixels = npt.NDArray[np.bool_]

SHAPE = (321, 481)  # as BSDS500's images
IMAGES = 4  # crops
# Annotators from coarse to fine: the width of the filter before Canny's detector, in pixels.
ANNOTATORS = (8.0, 6.0, 5.0, 4.0, 3.0)
THRESHOLD = 0.3  # of the matching that is compared
TEST_SET, THRESHOLDS, PROCESSES = 200, 99, 2
GOAL = 90  # minutes


def run(full: bool) -> Table:
    """A few minutes; there is no larger size."""
    cases = _cases()
    table = Table(
        "Evaluation of edges",
        f"{IMAGES} crops {SHAPE[0]}×{SHAPE[1]} of scikit-learn's photographs. Maps are Sobel's, which have many weak "
        f"edges; {len(ANNOTATORS)} annotators are Canny's detector, from coarse to fine. A matching: one map at "
        f"threshold {THRESHOLD} against one annotator. Processor time, but for the run in {PROCESSES} processes.",
        ["what", "figure"],
        settings={"thresholds": str(THRESHOLDS), "maximal distance": f"{MAX_DISTANCE} of the diagonal"},
    )
    _matchings(table, cases)
    for nms in Suppression:
        _images(table, cases, nms)
    _whole(table, cases)
    return table


def _matchings(table: Table, cases: list[Case]) -> None:
    maps = [case.read() for case in cases]
    pairs = [(np.asarray(thin(values >= THRESHOLD)), one) for values, drawn in maps for one in drawn]  # type: ignore[no-untyped-call]
    radius = MAX_DISTANCE * float(np.hypot(*SHAPE))
    times = [seconds(partial(correspondence, *pair, radius), time.process_time) for pair in pairs]
    pixels = [int(side.sum()) for pair in pairs for side in pair]
    table.add(f"a matching of {min(pixels):,} to {max(pixels):,} pixels", f"{_milliseconds(times)} ms")
    first = pairs[0]
    sides: dict[str, Callable[[], object]] = {
        "sparse": partial(correspondence, *first, radius),
        "dense": partial(_dense, *first, radius),
    }
    took = alternate(sides, pairs=3, clock=time.process_time)
    sizes = " and ".join(f"{int(side.sum()):,}" for side in first)
    table.add(
        f"the whole matrix of {sizes} pixels (`linear_sum_assignment`), against it",
        f"{ratio(took['dense'], took['sparse']).text('{:.0f}')} times",
    )


def _dense(first: Pixels, second: Pixels, radius: float) -> None:
    distances = cdist(np.argwhere(first), np.argwhere(second))
    linear_sum_assignment(np.where(distances <= radius, distances, 100 * radius))


def _images(table: Table, cases: list[Case], nms: Suppression) -> None:
    settings = Settings(nms=nms, thresholds=THRESHOLDS)
    times = [seconds(partial(counted, case, settings=settings, work=None), time.process_time) for case in cases]
    table.add(f"an image at {THRESHOLDS} thresholds, NMS {nms}", f"{Spread.of(times).text('{:.1f}')} s")


def _whole(table: Table, cases: list[Case]) -> None:
    settings = Settings(thresholds=THRESHOLDS)
    minutes = seconds(lambda: evaluate(cases, settings, processes=PROCESSES)) / 60
    whole = minutes * TEST_SET / len(cases)
    table.add(f"{len(cases)} images in {PROCESSES} processes, NMS none", f"{60 * minutes:.0f} s")
    table.add(f"{TEST_SET} images, extrapolated", f"{whole:.0f} min")
    what = f"{TEST_SET} images at {THRESHOLDS} thresholds in {PROCESSES} processes, extrapolated"
    table.aims.append(Aim(what, f"≤ {GOAL} min", f"{whole:.0f} min", whole <= GOAL))


def _milliseconds(times: list[float]) -> str:
    return Spread.of([1000 * value for value in times]).text("{:.0f}")


def _cases() -> list[Case]:
    random = np.random.default_rng(0)
    photographs = [photograph.mean(axis=2) / 255 for photograph in load_sample_images().images]
    cases = []
    for number in range(IMAGES):
        photograph = photographs[number % len(photographs)]
        top, left = (int(random.integers(0, room - size)) for room, size in zip(photograph.shape, SHAPE, strict=True))
        crop = photograph[top : top + SHAPE[0], left : left + SHAPE[1]]
        edges = sobel(gaussian(crop, 1))  # type: ignore[no-untyped-call]
        drawn = np.stack([canny(crop, sigma=width) for width in ANNOTATORS])  # type: ignore[no-untyped-call]
        cases.append(Case(f"crop-{number}", edges / edges.max(), drawn))
    return cases


if __name__ == "__main__":
    main(run)
