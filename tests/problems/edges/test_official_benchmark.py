"""The official code's five images and its figures, if LONGTAIL_BSDS500_BENCH names the archive of them (.tar.gz)."""

import os
import tarfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from scipy.io import loadmat
from scipy.ndimage import label

from longtail.problems.edges.edge_maps import read_edge_map
from longtail.problems.edges.evaluation.case import Case
from longtail.problems.edges.evaluation.counts import thresholds
from longtail.problems.edges.evaluation.evaluation import Evaluation, evaluate
from longtail.problems.edges.evaluation.scores import best, f_measure
from longtail.problems.edges.evaluation.settings import Settings

ARCHIVE = os.environ.get("LONGTAIL_BSDS500_BENCH")
IMAGES = ("2018", "3063", "5096", "6046", "8068")
SETTINGS = Settings(thresholds=5)
# The official assignment draws its outliers at random: its own runs differ from each other by half of this.
WITHIN = 0.001

pytestmark = pytest.mark.skipif(ARCHIVE is None, reason="LONGTAIL_BSDS500_BENCH names no archive")


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    with tarfile.open(str(ARCHIVE)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def run_of(folder: Path, run: int, images: tuple[str, ...]) -> Evaluation:
    """The same input as that of an official run: contours, PNG files, or segmentations."""
    cases = []
    for name in images:
        contours = folder / f"ucm2/{name}.mat"
        values = {1: contours, 2: folder / f"png/{name}.png"}.get(run)
        cases.append(Case(name, segmented(contours) if values is None else values, folder / f"groundTruth/{name}.mat"))
    return evaluate(cases, SETTINGS, processes=1)


def segmented(contours: Path) -> npt.NDArray[np.float64]:
    """A map whose edges at each threshold are those between the segments there: the archive has not the segments."""
    drawn = [boundary(label(loadmat(contours)["ucm2"] <= threshold)[0][1::2, 1::2]) for threshold in thresholds(5)]
    return np.asarray(sum(drawn) / 5.5)  # an edge at k of the five is at k / 5.5 ≥ k / 6 and below (k + 1) / 6


def boundary(segments: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Pixels whose 2×2 pixels, down and to the right, lie in several segments."""
    blocks = np.lib.stride_tricks.sliding_window_view(np.pad(segments, ((0, 1), (0, 1)), mode="edge"), (2, 2))
    return np.asarray(blocks.max(axis=(2, 3)) != blocks.min(axis=(2, 3)))


@pytest.mark.parametrize("run", [1, 2])
def test_two_images(official: Path, run: int) -> None:
    images = ("2018", "5096")
    found = run_of(official, run, images)
    table = np.loadtxt(official / f"test_{run}/eval_bdry_img.txt")
    for place, name in enumerate(images):
        ours = best(thresholds(5), found.counts.recall[place], found.counts.precision[place])
        theirs = table[IMAGES.index(name)]
        assert ours.threshold == pytest.approx(theirs[1], abs=1e-6)
        assert (ours.recall, ours.f) == pytest.approx((theirs[2], theirs[4]), abs=WITHIN)
        assert ours.precision == pytest.approx(theirs[3], abs=2 * WITHIN)


@pytest.mark.slow
@pytest.mark.parametrize("run", [1, 2, 3, 4])
def test_five_images_at_every_threshold(official: Path, run: int) -> None:
    found = run_of(official, run, IMAGES)
    recall, precision = found.total.recall, found.total.precision
    table = np.loadtxt(official / f"test_{run}/eval_bdry_thr.txt")
    ours = np.column_stack([recall, precision, f_measure(recall, precision)])
    differences = np.abs(ours - table[:, 1:])
    print(f"run {run}, largest differences of recall, precision, F: {differences.max(axis=0)}")
    assert differences[:, 2].max() < WITHIN
    _, *ods, ois_recall, ois_precision, ois_f, ap = np.loadtxt(official / f"test_{run}/eval_bdry.txt")
    ours_of_all = [*(getattr(found.ods, name) for name in ("recall", "precision", "f")), found.ois.f, found.ap]
    assert ours_of_all == pytest.approx([*ods, ois_f, ap], abs=WITHIN)
    assert [found.ois.recall, found.ois.precision] == pytest.approx([ois_recall, ois_precision], abs=WITHIN)
    assert found.ods.threshold == pytest.approx(1 / 6)


def test_contours_and_images_are_the_same_maps(official: Path) -> None:
    contours, image = (read_edge_map(official / name) for name in ("ucm2/2018.mat", "png/2018.png"))
    assert np.abs(contours - image).max() < 1 / 255
