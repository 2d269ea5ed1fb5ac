"""What an image counts: against plain loops, and where there is nothing to count."""

import numpy as np
import numpy.typing as npt
import pytest
from edge_files import LARGE, SHAPE, edge_map, outlines
from skimage.morphology import thin

from longtail.problems.edges.evaluation.correspondence import correspondence
from longtail.problems.edges.evaluation.counts import Counts, count, count_annotators, thresholds


def numbers(counts: Counts) -> list[list[int]]:
    return np.column_stack(counts.fields()).tolist()


def plain(values: npt.NDArray[np.float64], boundaries: npt.NDArray[np.bool_], threshold: float) -> list[int]:
    edges = thin(values >= threshold)
    recalled, confirmed = 0, np.zeros(values.shape, np.bool_)
    for annotated in boundaries:
        of_edges, of_annotator = correspondence(
            edges, annotated, 0.0075 * np.sqrt(values.shape[0] ** 2 + values.shape[1] ** 2)
        )
        recalled += of_annotator.sum()
        confirmed |= of_edges
    return [int(recalled), int(boundaries.sum()), int(confirmed.sum()), int(edges.sum())]


@pytest.mark.parametrize("seed", range(3))
def test_every_threshold_counts_as_a_plain_loop_does(seed: int) -> None:
    boundaries = outlines(LARGE, annotators=3, seed=seed)
    values, at = edge_map(boundaries, seed), thresholds(9)
    assert numbers(count(values, boundaries, at)) == [plain(values, boundaries, threshold) for threshold in at]


def test_recall_is_summed_over_annotators_and_precision_is_by_their_union() -> None:
    boundaries = np.zeros((3, *SHAPE), np.bool_)
    boundaries[0, 10, 10:20] = boundaries[1, 10, 10:15] = boundaries[2, 40, 10:14] = True
    values = np.where(boundaries[0], 0.5, 0.0)
    values[50, 10:16] = 0.5
    assert numbers(count(values, boundaries, np.array([0.5]))) == [[15, 19, 10, 16]]


def test_a_pixel_at_the_threshold_is_an_edge() -> None:
    boundaries = outlines()
    values = np.where(boundaries[0], 51 / 255, 0)
    counts = count(values, boundaries, thresholds(99))
    assert (counts.predicted > 0).tolist() == [number <= 20 for number in range(1, 100)]


def test_an_empty_map_predicts_nothing() -> None:
    counts = count(np.zeros(SHAPE), outlines(), thresholds(3))
    assert numbers(counts) == 3 * [[0, int(outlines().sum()), 0, 0]]
    assert counts.recall.tolist() == counts.precision.tolist() == [0, 0, 0]


def test_a_full_map_is_thinned_to_a_line() -> None:
    counts = count(np.ones(SHAPE), outlines(), thresholds(3))
    assert 0 < counts.predicted[0] < max(SHAPE)


def test_without_a_drawn_boundary_nothing_is_confirmed() -> None:
    nothing = np.zeros((2, *SHAPE), np.bool_)
    counts = count(edge_map(outlines()), nothing, thresholds(3))
    assert (counts.annotated.tolist(), counts.recall.tolist(), counts.precision.tolist()) == (3 * [0], 3 * [0], 3 * [0])
    assert numbers(count(np.zeros(SHAPE), nothing, thresholds(1))) == [[0, 0, 0, 0]]


def test_thresholds_are_the_official_ones() -> None:
    assert thresholds(99).tolist() == np.linspace(0.01, 0.99, 99).tolist()
    assert thresholds(5) == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6])
    assert thresholds(1).tolist() == [0.5]


def test_annotators_count_against_all_others() -> None:
    boundaries = np.zeros((3, *SHAPE), np.bool_)
    boundaries[0, 10, 10:20] = boundaries[1, 10, 10:15] = boundaries[2, 40, 10:14] = True
    # 5 of 9 pixels of the others, 5 of 14, 0 of 15; of their own 10 pixels 5, of 5 all, of 4 none.
    assert [int(value) for value in count_annotators(boundaries).fields()] == [10, 38, 10, 19]
    assert [int(value) for value in count_annotators(boundaries[:1]).fields()] == [0, 0, 0, 0]
