"""k and the decision are chosen on validation, by mean per-class accuracy."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from longtail.rules.base import Evidence
from longtail.rules.cluster_wise import ClusterWise
from longtail.rules.sample_wise import SampleWise
from longtail.rules.search import Search, choose, mean_class_accuracy

LINE = np.array([[0], [1], [2], [10], [11]], np.float32)
CLASSES = np.array([1, 0, 0, 1, 1])


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=60))
def test_mean_class_accuracy_is_the_mean_recall_of_the_classes_that_occur(pairs: list[tuple[int, int]]) -> None:
    recalls = []
    for c in {truth for truth, _ in pairs}:
        answers = [predicted for truth, predicted in pairs if truth == c]
        recalls.append(answers.count(c) / len(answers))
    truth, predicted = np.array(pairs).T
    assert mean_class_accuracy(truth, predicted) == pytest.approx(sum(recalls) / len(recalls))


def test_mean_class_accuracy_weighs_a_small_class_as_a_large_one() -> None:
    assert mean_class_accuracy(np.array([0] * 9 + [1]), np.zeros(10, np.int64)) == 0.5


def test_the_best_k_on_the_queries_is_chosen() -> None:
    queries, truth = np.array([[0.1], [10.4]], np.float32), np.array([0, 1])
    choice = choose(LINE, CLASSES, 2, queries, truth, Search(neighbours=[1, 3], decisions=["vote"]))
    assert choice.curve == [
        {"k": 1, "decision": "vote", "score": 0.5},
        {"k": 3, "decision": "vote", "score": 1.0},
    ]
    assert (choice.classifier.k, choice.score) == (3, 1.0)


@pytest.mark.parametrize("neighbours", [[1, 2, 3], [3, 2, 1]])
def test_the_smallest_k_wins_a_tie(neighbours: list[int]) -> None:
    queries, truth = np.array([[10.4]], np.float32), np.array([1])
    assert choose(LINE, CLASSES, 2, queries, truth, Search(neighbours=neighbours)).classifier.k == 1


def test_every_k_beyond_the_points_is_tried_once_as_all_of_them() -> None:
    queries, truth = np.array([[0.0]], np.float32), np.array([1])
    choice = choose(LINE, CLASSES, 2, queries, truth, Search(neighbours=[2, 5, 20, 50], decisions=["large_margin"]))
    assert [point["k"] for point in choice.curve] == [2, 5]


@pytest.mark.parametrize("wrong", [{"neighbours": []}, {"neighbours": [0]}, {"neighbours": [-1]}, {"decisions": []}])
def test_a_search_over_nothing_is_refused(wrong: dict[str, list[int]]) -> None:
    with pytest.raises(ValidationError):
        Search.model_validate(wrong)


def spread(labels: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.float32]:
    points = np.random.default_rng(seed).normal(size=(len(labels), 6)) + 2 * np.eye(6)[np.maximum(labels, 0)]
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def test_only_train_makes_the_clusters_and_only_validation_the_choice() -> None:
    labels = np.tile([0, 1, 2], 60)
    part = np.repeat([0, 1, 2], 60)  # train, validation, test
    embeddings = spread(labels, 0)
    train, validation = np.where(part == 0, labels, -1), np.where(part == 1, labels, -1)
    changed = embeddings.copy()
    changed[part == 2] = spread(labels, 1)[part == 2]
    one, other = (
        ClusterWise.fit(Evidence(x, None, train, validation, 3, 5, Search(), 0), {}) for x in (embeddings, changed)
    )
    assert one.summary() == other.summary()
    assert (one.neighbours.points == other.neighbours.points).all()
    assert ((one.clusters.assignment >= 0) == (part == 0)).all()
    assert one.score == max(point["score"] for point in one.curve)


def test_the_sample_wise_classifier_holds_every_labelled_sample() -> None:
    labels = np.array([0, 1, -1, 1])
    embeddings = spread(labels, 0)
    rule = SampleWise.fit(Evidence(embeddings, None, labels, labels, 2, 5, Search(neighbours=[1]), 0), {})
    assert rule.predict(embeddings[[0, 1, 3]], None)[0].tolist() == [0, 1, 1]
    assert len(rule.neighbours.points) == 3
