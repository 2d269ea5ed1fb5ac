"""Nearest-neighbour classification against LMLE's Eq. 3, a plain vote and brute-force search."""

from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.rules import knn
from longtail.rules.knn import (
    ABSENT,
    ALONE,
    Decision,
    NearestNeighbours,
    decide,
    large_margin,
    load_neighbours,
    nearest,
    save_neighbours,
    vote,
)

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


def slow_margins(distances: list[float], classes: list[int], class_count: int) -> list[float | None]:
    """Eq. 3 for one query: for each class the margin that is maximised; None for a class outside φ(q)."""
    margins: list[float | None] = []
    for c in range(class_count):
        own = [d for d, y in zip(distances, classes, strict=True) if y == c]
        other = [d for d, y in zip(distances, classes, strict=True) if y != c]
        margins.append(min(other) - max(own) if own and other else None)
    return margins


def slow_decision(distances: list[float], classes: list[int], class_count: int) -> int:
    """Section 4, steps 2 and 3; the lowest class of equals."""
    if len(set(classes)) == 1:
        return classes[0]
    margins = slow_margins(distances, classes, class_count)
    return max((c for c in range(class_count) if margins[c] is not None), key=lambda c: margins[c] or 0.0)


def slow_vote(classes: list[int]) -> int:
    """The majority; among equals the class whose first neighbour is nearest."""
    return max(set(classes), key=lambda c: (classes.count(c), -classes.index(c)))


@st.composite
def neighbourhoods(draw: st.DrawFn, k: int | None = None) -> tuple[list[float], list[int]]:
    """Sorted distances, a multiple of ¼ each (exact, with ties), and the neighbours' classes out of five."""
    k = k or draw(st.integers(1, 12))
    quarters = draw(st.lists(st.integers(0, 16), min_size=k, max_size=k))
    return sorted(q / 4 for q in quarters), draw(st.lists(st.integers(0, 4), min_size=k, max_size=k))


def one(values: list[float] | list[int], kind: type) -> npt.NDArray[np.generic]:
    return np.array([values], kind)


@pytest.mark.parametrize("queries", [1, 3])  # one query takes another way through the code
@settings(deadline=None, max_examples=300)
@given(st.data())
def test_the_large_margin_decision_agrees_with_eq_3(queries: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, 12))
    cases = [data.draw(neighbourhoods(k)) for _ in range(queries)]
    distances, classes = (np.array(part) for part in zip(*cases, strict=True))
    predicted, scores = decide(distances.astype(np.float32), classes, 5, "large_margin")
    assert predicted.tolist() == [slow_decision(*case, 5) for case in cases]
    for row, case in zip(scores.tolist(), cases, strict=True):
        if len(set(case[1])) > 1:
            assert row == [ABSENT if margin is None else margin for margin in slow_margins(*case, 5)]
        else:
            assert row == [ALONE if c == case[1][0] else ABSENT for c in range(5)]


@settings(deadline=None)
@given(neighbourhoods())
def test_the_vote_agrees_with_counting(case: tuple[list[float], list[int]]) -> None:
    distances, classes = case
    predicted, scores = decide(one(distances, np.float32), one(classes, np.int64), 5, "vote")
    assert predicted.tolist() == [slow_vote(classes)]
    assert [score > 0 for score in scores[0]] == [c in classes for c in range(5)]


@settings(deadline=None)
@given(st.lists(neighbourhoods(), min_size=2, max_size=4), st.sampled_from(["large_margin", "vote"]))
def test_queries_do_not_influence_each_other(cases: list[tuple[list[float], list[int]]], rule: str) -> None:
    k = min(len(distances) for distances, _ in cases)
    distances = np.array([case[0][:k] for case in cases], np.float32)
    classes = np.array([case[1][:k] for case in cases])
    _, together = decide(distances, classes, 5, rule)  # type: ignore[arg-type]
    for i in range(len(cases)):
        _, alone = decide(distances[i : i + 1], classes[i : i + 1], 5, rule)  # type: ignore[arg-type]
        assert (together[i] == alone[0]).all()


@pytest.mark.parametrize("rule", ["large_margin", "vote"])
@pytest.mark.parametrize("queries", [0, 1, 64])
def test_the_layout_of_the_neighbours_in_memory_does_not_matter(queries: int, rule: Decision) -> None:
    """Where a class has several neighbours, the order of writing decides."""
    rng = np.random.default_rng(0)
    distances = np.sort(rng.random((queries, 20), np.float32), axis=1)
    classes = rng.integers(0, 5, (queries, 20))
    expected = decide(distances, classes, 5, rule)[1]
    wide = np.repeat(classes, 2, axis=1)[:, ::2]
    backwards = np.ascontiguousarray(classes[:, ::-1])[:, ::-1]
    for layout in (np.asfortranarray(classes), wide, backwards):
        assert (decide(distances, layout, 5, rule)[1] == expected).all()


def test_eq_3_by_hand() -> None:
    # Class 2 is nearest; class 0 is farther but tight, class 2 spreads beyond it.
    scores = large_margin(np.array([[0.5, 1.0, 1.25, 3.0]], np.float32), np.array([[2, 0, 0, 2]]), 4)
    assert scores.tolist() == [[0.5 - 1.25, ABSENT, 1.0 - 3.0, ABSENT]]


def test_a_neighbourhood_of_one_class_is_that_class() -> None:
    scores = large_margin(np.array([[3.0, 4.0]], np.float32), np.array([[1, 1]]), 3)
    assert scores.tolist() == [[ABSENT, ALONE, ABSENT]]


def test_a_class_outside_the_neighbourhood_cannot_win() -> None:
    # The worst margin there is on the unit sphere still beats an absent class of lower code.
    predicted, _ = decide(np.array([[0.0, 0.0, 4.0, 4.0]], np.float32), np.array([[2, 1, 1, 2]]), 3, "large_margin")
    assert predicted[0] in (1, 2)


def test_a_tied_vote_goes_to_the_nearest() -> None:
    assert np.argmax(vote(np.array([[2, 0, 0, 2, 1]]), 3)) == 2


def test_the_nearest_of_many_single_votes_wins() -> None:
    assert np.argmax(vote(np.arange(50)[::-1][None], 50)) == 49


def brute_force(points: Floats, query: Floats, k: int) -> list[float]:
    return sorted(float(((point - query).astype(float) ** 2).sum()) for point in points)[:k]


@pytest.mark.parametrize("queries", [1, 7, 64])
@pytest.mark.parametrize("k", [1, 5, 40, 1000])
def test_search_agrees_with_brute_force(queries: int, k: int) -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(40, 8)).astype(np.float32)
    asked = rng.normal(size=(queries, 8)).astype(np.float32)
    distances, neighbours = nearest(points, asked, k)
    assert distances.shape == neighbours.shape == (queries, min(k, 40))
    for i, query in enumerate(asked):
        assert distances[i].tolist() == pytest.approx(brute_force(points, query, k), rel=1e-4)
        reached = ((points[neighbours[i]] - query) ** 2).sum(1)
        assert reached.tolist() == pytest.approx(distances[i].tolist(), rel=1e-4)


def test_queries_of_another_size_or_type_or_layout() -> None:
    rng = np.random.default_rng(0)
    points, queries = rng.normal(size=(40, 8)).astype(np.float32), rng.normal(size=(9, 8))
    expected = nearest(points, queries.astype(np.float32), 5)
    for same in (queries, np.asfortranarray(queries), np.repeat(queries, 2, axis=0)[::2].astype(np.float32)):
        for theirs, ours in zip(expected, nearest(points, same, 5), strict=True):
            assert (theirs == ours).all()
    assert nearest(points, queries[:0], 5)[1].shape == (0, 5)
    with pytest.raises(ValueError, match="queries of 7 dimensions for points of 8"):
        nearest(points, queries[:, :7], 5)


def test_search_finds_what_faiss_finds() -> None:
    rng = np.random.default_rng(0)
    points, queries = rng.normal(size=(500, 16)).astype(np.float32), rng.normal(size=(50, 16)).astype(np.float32)
    index = faiss.IndexFlatL2(16)
    index.add(points)
    for asked in (queries, queries[:1]):
        for theirs, ours in zip(index.search(asked, 20), nearest(points, asked, 20), strict=True):
            assert (theirs == ours).all()


def test_k_beyond_the_centroids_means_all_of_them() -> None:
    points, classes = np.eye(3, dtype=np.float32), np.array([0, 1, 2])
    answers = [NearestNeighbours(points, classes, 3, k, "large_margin").predict(points)[0] for k in (3, 20)]
    assert answers[0].tolist() == answers[1].tolist() == [0, 1, 2]


def test_an_index_is_made_once_and_answers_one_query_as_it_does_many() -> None:
    rng = np.random.default_rng(0)
    points, queries = rng.normal(size=(60, 8)).astype(np.float32), rng.normal(size=(30, 8)).astype(np.float32)
    classifier = NearestNeighbours(points, rng.integers(0, 4, 60), 4, 7, "large_margin")
    together, _ = classifier.predict(queries)
    index = classifier._index
    assert [int(classifier.predict(query[None])[0][0]) for query in queries] == together.tolist()
    assert classifier._index is index


def test_an_index_is_read_as_it_was_written(tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    made = {
        "digit": NearestNeighbours(points, np.arange(6), 6, 3, "large_margin"),
        "kids": NearestNeighbours(points[:2], np.array([1, 0]), 2, 1, "vote"),
    }
    for task, index in made.items():
        save_neighbours(tmp_path / task, index, score=0.5)
    loaded = {task: load_neighbours(tmp_path / task) for task in made}
    for task, index in made.items():
        assert (loaded[task].k, loaded[task].decision, loaded[task].class_count) == (
            index.k,
            index.decision,
            index.class_count,
        )
        for before, after in zip(index.predict(points), loaded[task].predict(points), strict=True):
            assert (before == after).all()


@pytest.mark.parametrize("rows", [0, 1, 5, 50])
@pytest.mark.parametrize("block", [1, 30, 100, 10_000])
def test_votes_counted_in_blocks_are_those_counted_at_once(
    rows: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(rows)
    distances, classes = np.sort(rng.random((rows, 4)), axis=1).astype(np.float32), rng.integers(0, 7, (rows, 4))
    scores = vote(classes, 7)
    monkeypatch.setattr(knn, "BLOCK", block)
    in_blocks = decide(distances, classes, 7, "vote")[1]
    assert np.array_equal(in_blocks, scores)
