"""Labels that may be wrong: planted ones are found, and classes that overlap, or are rare, are not accused."""

import numpy as np
import pytest

from longtail.audit.neighbours import neighbours
from longtail.audit.suspects import FEWEST, K, Suspects, Votes, suspects, votes
from longtail.granularity.distance import Floats, Ints


def blobs(sizes: list[int], apart: float, seed: int = 0) -> tuple[Floats, Ints]:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return apart * np.eye(len(sizes), 12)[labels] + rng.normal(size=(len(labels), 12)), labels


def judged(points: Floats, labels: Ints, classes: int) -> Suspects:
    found = neighbours(points, np.arange(len(points)), 20)
    return suspects(votes(found, labels, np.arange(len(points)), classes), labels)


@pytest.mark.parametrize("apart", [0.0, 1.0, 2.0, 4.0, 12.0])
@pytest.mark.parametrize("sizes", [[200, 200, 200], [600, 60, 15], [500, 12, 3, 1]])
def test_right_labels_are_not_accused(sizes: list[int], apart: float) -> None:
    found = judged(*blobs(sizes, apart), len(sizes))
    assert found.judged + found.unjudged == sum(sizes)
    assert len(found.found) <= sum(sizes) / 100


@pytest.mark.parametrize("sizes", [[200, 200, 200], [600, 60, 40]])
def test_flipped_labels_are_found_and_told_what_they_seem_to_be(sizes: list[int]) -> None:
    points, labels = blobs(sizes, 12)
    flipped = np.random.default_rng(1).choice(sum(sizes), 12, replace=False)
    wrong = labels.copy()
    wrong[flipped] = (labels[flipped] + 1) % 3
    found = judged(points, wrong, 3).found
    assert {one.position for one in found} <= set(flipped.tolist())
    assert len(found) >= 10  # of two that lie together with the same wrong label, each says that the other is right
    assert all((one.label, one.instead) == (wrong[one.position], labels[one.position]) for one in found)
    assert [one.probability for one in found] == sorted((one.probability for one in found), reverse=True)


def test_classes_too_small_are_not_judged() -> None:
    points, labels = blobs([100, FEWEST, FEWEST + 1], 12)
    assert judged(points, labels, 3)[1:] == (100 + FEWEST + 1, FEWEST)


def test_missing_labels_neither_vote_nor_are_judged() -> None:
    points, labels = blobs([100, 100], 12)
    labels[::2] = -1
    assert judged(points, labels, 2) == Suspects([], 100, 0)
    assert judged(points, np.full(200, -1), 2) == Suspects([], 0, 0)


@pytest.mark.parametrize("labelled", [1.0, 0.3, 0.1, 0.05])
def test_one_labelled_neighbour_is_no_evidence(labelled: float) -> None:
    """Two classes that overlap, no label wrong, and most missing."""
    points, labels = blobs([2000, 2000], 2)
    labels[np.random.default_rng(2).random(4000) >= labelled] = -1
    assert len(judged(points, labels, 2).found) <= 0.02 * np.count_nonzero(labels >= 0)


def test_votes_are_counted_in_blocks_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    points, labels = blobs([60, 30, 10], 3)
    labels[::7] = -1
    groups = np.arange(len(points)) // 12  # of which the nearest four vote
    found = neighbours(points, groups, K)
    expected = []
    for row in range(len(labels)):
        voted: list[int] = []
        near = []
        for at in found.positions[row]:
            if labels[at] >= 0 and voted.count(groups[at]) < 4:
                voted.append(groups[at])
                near.append(labels[at])
        shares = [near.count(code) / max(len(near), K // 2) for code in range(3)]
        expected.append((shares[labels[row]], shares.index(max(shares)), max(shares)))
    for block in (3, 50, 10**6):
        monkeypatch.setattr("longtail.audit.suspects.BLOCK", block)
        counted = votes(found, labels, groups, 3)
        np.testing.assert_allclose(np.column_stack(counted), np.array(expected))
    assert Votes.of(np.array([[0.2, 0.8]]), np.array([0])) == (0.2, 1, 0.8)


def test_the_images_of_a_group_are_one_witness() -> None:
    """A film whose frames all have a wrong label accuses no image that it lies among."""
    rng = np.random.default_rng(0)
    points = np.concatenate(
        [rng.normal(size=(150, 12)), 9 + rng.normal(size=(150, 12)), 0.1 * rng.normal(size=(40, 12))]
    )
    labels = np.repeat([0, 1, 1], [150, 150, 40])
    groups = np.r_[np.arange(300), np.full(40, 300)]
    found = suspects(votes(neighbours(points, groups, K), labels, groups, 2), labels).found
    assert {one.position for one in found} == set(range(300, 340))
