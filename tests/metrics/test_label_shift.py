"""Priors of shifted test sets against plain loops, and accuracies under them against a test set drawn as they say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtail.metrics.label_shift import FACTORS, shifted_priors
from longtail.rules.search import accuracy_under

COUNTS = st.lists(st.integers(0, 10**9), min_size=1, max_size=12)


def slow_forward(counts: list[int], inside: list[int], factor: int) -> list[float]:
    """The class of rank r of R has a share in proportion to factor^(−r / (R − 1))."""
    ranked = sorted(inside, key=lambda c: (-counts[c], c))
    weights = {c: factor ** (-r / max(1, len(ranked) - 1)) for r, c in enumerate(ranked)}
    return [weights.get(c, 0.0) / sum(weights.values()) for c in range(len(counts))]


@given(COUNTS, st.booleans())
def test_priors_fall_exponentially_over_the_classes_by_their_training_images(counts: list[int], all_: bool) -> None:
    foreground = np.arange(len(counts)) >= (0 if all_ or len(counts) < 2 else 1)
    inside = np.flatnonzero(foreground).tolist()
    priors = shifted_priors(counts, foreground)
    assert list(priors) == [
        *("forward 50", "forward 10", "forward 2"),
        "even",
        *("backward 2", "backward 10", "backward 50"),
    ]
    for factor in FACTORS:
        forward, backward = priors[f"forward {factor}"], priors[f"backward {factor}"]
        assert forward.tolist() == pytest.approx(slow_forward(counts, inside, factor))
        assert sorted(backward.tolist()) == pytest.approx(sorted(forward.tolist()))
        product = forward[inside].max() * forward[inside].min()
        assert (backward[inside] * forward[inside]).tolist() == pytest.approx([product] * len(inside))
        if len(inside) > 1:
            assert forward.max() / forward[inside].min() == pytest.approx(factor)
    assert priors["even"].tolist() == pytest.approx([1 / len(inside) if c in inside else 0 for c in range(len(counts))])
    for shares in priors.values():
        assert shares.sum() == pytest.approx(1)


def test_accuracy_under_a_prior_is_that_of_many_images_drawn_as_it_says() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 3000)
    answers = np.where(rng.random(3000) < 0.3 + 0.15 * truth, truth, (truth + 1) % 4)
    for prior in shifted_priors([400, 100, 30, 7], np.ones(4, np.bool_)).values():
        drawn = np.concatenate(
            [rng.choice(np.flatnonzero(truth == c), round(200_000 * share)) for c, share in enumerate(prior)]
        )
        expected = float((truth[drawn] == answers[drawn]).mean())
        assert accuracy_under(truth, answers, prior.astype(np.float32)) == pytest.approx(expected, abs=0.004)
