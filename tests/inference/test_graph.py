"""Each rule as a torch module gives the scores that its numpy code gives."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rule_evidence import evidence_for

from longtail.errors import DataError
from longtail.inference.graph import Neighbours, scores_of
from longtail.rules.knn import NearestNeighbours
from longtail.rules.registry import RULES, fit_rules


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("key", RULES)
def test_every_rule_has_its_own_scores(key: str, seed: int) -> None:
    found = evidence_for(key, seed)
    rule = fit_rules(list(RULES), found)[key]
    codes, scores = rule.predict(found.embeddings, found.logits)
    module = scores_of(rule, found.class_count)
    reached = module(torch.from_numpy(found.embeddings), torch.from_numpy(found.logits)).numpy()
    assert reached.dtype == np.float32
    np.testing.assert_allclose(reached, scores, atol=2e-6)
    np.testing.assert_array_equal(reached.argmax(1), codes)
    assert module(torch.empty((0, 6)), torch.empty((0, found.class_count))).shape == (0, found.class_count)


@given(seed=st.integers(0, 999), k=st.integers(1, 30), points=st.integers(1, 20), classes=st.integers(1, 6))
def test_neighbours_decide_as_they_do_in_numpy(seed: int, k: int, points: int, classes: int) -> None:
    """With fewer points than k, a single class in the neighbourhood, classes without a point."""
    rng = np.random.default_rng(seed)
    own = rng.integers(0, classes, points)
    queries, centres = (rng.normal(size=(n, 5)).astype(np.float32) for n in (7, points))
    for decision in ("large_margin", "vote"):
        knn = NearestNeighbours(centres, own, classes, k, decision)
        codes, scores = knn.predict(queries)
        reached = Neighbours(knn)(torch.from_numpy(queries), torch.empty((7, 0))).numpy()
        np.testing.assert_allclose(reached, scores, atol=1e-4)
        np.testing.assert_array_equal(reached.argmax(1), codes)


def test_a_rule_without_a_form_is_refused() -> None:
    class Own:
        """A user's."""

    with pytest.raises(DataError, match="the rule test_graph has no form for ONNX: serve it with MLflow"):
        scores_of(Own(), 3)  # type: ignore[arg-type]
