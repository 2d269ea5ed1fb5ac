"""The nearest class mean against its definition."""

import numpy as np
import numpy.typing as npt
import pytest

from longtail.rules.base import Evidence
from longtail.rules.class_mean import ClassMean, class_means
from longtail.rules.search import Search


def points(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    drawn = np.random.default_rng(0).normal(size=(len(labels), 6)) + 2 * np.eye(6)[np.maximum(labels, 0)]
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def slow_class_mean(embeddings: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], code: int) -> list[float]:
    members = [row for row, label in zip(embeddings.tolist(), labels.tolist(), strict=True) if label == code]
    mean = [sum(column) / len(members) for column in zip(*members, strict=True)]
    norm = sum(value**2 for value in mean) ** 0.5
    return [value / norm for value in mean]


def test_class_means_are_normalised_means_of_the_labelled_samples() -> None:
    labels = np.array([0, 2, 2, -1, 0, 2])  # class 1 has no sample
    embeddings = points(labels)
    classifier = class_means(embeddings, labels, 3)
    assert classifier.classes.tolist() == [0, 2]
    for code, mean in zip((0, 2), classifier.points, strict=True):
        assert mean.tolist() == pytest.approx(slow_class_mean(embeddings, labels, code), abs=1e-6)


def test_the_nearest_mean_answers() -> None:
    labels = np.tile([0, 1, 2], 20)
    embeddings = points(labels)
    part = np.arange(60) < 45
    train, validation = np.where(part, labels, -1), np.where(part, -1, labels)
    rule = ClassMean.fit(Evidence(embeddings, None, train, validation, 3, 5, Search(), 0), {})
    codes, scores = rule.predict(embeddings[~part], None)
    means = np.array([slow_class_mean(embeddings, train, code) for code in range(3)])
    distances = ((embeddings[~part][:, None] - means) ** 2).sum(2)
    assert codes.tolist() == distances.argmin(1).tolist()
    assert scores.argmax(1).tolist() == codes.tolist()
