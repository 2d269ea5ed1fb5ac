"""Fresh quintuplets of a mini-batch are those of a table whose pool is the mini-batch."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.quintuplets.candidates import Task
from longtail.quintuplets.in_batch import batch_quintuplets
from longtail.quintuplets.search import quintuplet_tables
from longtail.quintuplets.shares import table_shares
from longtail.rules.distances import squared_distances


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 10**6), st.lists(st.integers(0, 2), min_size=2, max_size=40).filter(lambda c: len(set(c)) > 1))
def test_agrees_with_the_table_over_the_mini_batch(seed: int, codes: list[int]) -> None:
    rng = np.random.default_rng(seed)
    labels = np.array(codes)
    clusters = 3 * labels + rng.integers(3, size=len(labels))
    embeddings = rng.normal(size=(len(labels), 4)).astype(np.float32)
    everything = np.arange(len(labels))
    (table,) = quintuplet_tables(embeddings, [Task(labels, clusters, everything, everything)])
    mined = batch_quintuplets(*map(torch.from_numpy, (embeddings, labels, clusters)))
    assert mined.members.tolist() == table.members.tolist()
    assert mined.has_other_cluster.tolist() == table.has_other_cluster.tolist()
    assert mined.has_negative.all()
    assert float(mined.whole.float().mean()) == pytest.approx(table_shares(table, embeddings)["whole"])


def test_a_mini_batch_of_one_class_has_no_negatives_and_no_sample_none_at_all() -> None:
    mined = batch_quintuplets(torch.randn(3, 2), torch.zeros(3, dtype=torch.long), torch.tensor([0, 0, 1]))
    assert not mined.has_negative.any()
    assert batch_quintuplets(torch.zeros(0, 2), *[torch.zeros(0, dtype=torch.long)] * 2).members.shape == (0, 5)


@pytest.mark.parametrize("spread", [1e-2, 1e-3, 1e-4])
def test_a_large_mini_batch_of_which_all_are_close_together_has_the_same_partners(spread: float) -> None:
    """So is an embedding that begins to collapse: distances by a product would be those of rounding."""
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 4
    clusters = 3 * labels + rng.integers(3, size=60)
    points = rng.normal(size=64) + spread * rng.normal(size=(60, 64))
    embeddings = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    exact = squared_distances(embeddings.astype(np.float64), embeddings.astype(np.float64))
    anchor, plus, minus, far, negative = batch_quintuplets(
        *map(torch.from_numpy, (embeddings, labels, clusters))
    ).members.T.numpy()
    same, own = labels[:, None] == labels, clusters[:, None] == clusters
    for partner, allowed, sign in ((plus, own, 1), (minus, same & ~own, -1), (far, same, 1), (negative, ~same, -1)):
        best = np.where(allowed & ~np.eye(60, dtype=bool), sign * exact, -np.inf).max(1)
        assert exact[anchor, partner] == pytest.approx(sign * best, rel=1e-4)
