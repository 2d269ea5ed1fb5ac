"""The head and the neighbours together: probabilities of both, and their weights chosen on validation."""

import numpy as np
import pytest

from longtail.rules.head_and_knn import BLENDS, Blend, choose_blend, posterior


def test_a_posterior_is_the_softmax_of_the_scores() -> None:
    scores = np.array([[1.0, 2.0, -5.0], [0.0, 0.0, 0.0]], np.float32)
    expected = [[np.exp(s / 0.5) / sum(np.exp(t / 0.5) for t in row) for s in row] for row in scores.tolist()]
    assert posterior(scores, 0.5) == pytest.approx(np.array(expected))


def test_a_blend_is_the_weighted_mean_of_both_posteriors() -> None:
    logits, scores = np.array([[3.0, 0.0]], np.float32), np.array([[0.0, 0.2]], np.float32)
    expected = 0.25 * posterior(logits) + 0.75 * posterior(scores, 0.2)
    assert Blend(head=0.25, temperature=0.2).mix(logits, scores) == pytest.approx(expected)


def test_a_blend_listens_to_both_and_the_best_on_validation_is_chosen() -> None:
    logits = np.array([[3.0, 0.0], [0.1, 0.0]], np.float32)
    scores = np.array([[0.0, 0.2], [0.0, 2.0]], np.float32)
    assert Blend(head=0.5, temperature=1.0).mix(logits, scores).argmax(1).tolist() == [0, 1]
    blend, score = choose_blend([(logits, scores)], np.array([0, 1]))
    assert score == 1
    assert blend == next(b for b in BLENDS if b.mix(logits, scores).argmax(1).tolist() == [0, 1])
