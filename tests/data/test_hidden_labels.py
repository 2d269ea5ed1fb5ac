"""Labels hidden at random: whole groups, in training and validation, never the last of a class."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.data.dataset import SUBSETS
from longtail.data.hidden_labels import hidden_labels

Ints = npt.NDArray[np.int64]
# Of each group its subset, and the labels of its samples.
GROUPS = st.lists(
    st.tuples(st.sampled_from(SUBSETS), st.lists(st.integers(-1, 4), min_size=1, max_size=4)), min_size=1, max_size=40
)


def arrays(table: list[tuple[str, list[int]]]) -> tuple[Ints, npt.NDArray[np.str_], Ints]:
    sizes = [len(labels) for _, labels in table]
    labels = np.array([code for _, codes in table for code in codes])
    return labels, np.repeat([name for name, _ in table], sizes), np.repeat(np.arange(len(table)), sizes)


@settings(deadline=None, max_examples=300)
@given(GROUPS, st.floats(0.01, 0.99), st.integers(0, 9))
def test_a_group_is_known_or_unknown_and_every_class_of_a_subset_keeps_a_group(
    table: list[tuple[str, list[int]]], share: float, seed: int
) -> None:
    labels, subset, groups = arrays(table)
    mask = hidden_labels("place", labels, subset, groups, share, seed)
    assert not mask[(subset == "test") | (labels < 0)].any()
    for group in set(groups.tolist()):
        assert len(set(mask[(groups == group) & (labels >= 0)].tolist())) <= 1
    for name in ("train", "validation"):
        here = (subset == name) & (labels >= 0)
        assert set(labels[here & ~mask]) == set(labels[here])
        # Whole groups come no nearer to the share, but for one of each class.
        short = share * here.sum() - mask[here].sum()
        sizes = np.bincount(groups[here & ~mask])
        assert ((sizes > 0) & (sizes < 2 * short)).sum() <= len(set(labels[here]))
        assert -2 * short <= max(np.bincount(groups[here & mask]), default=0)


def test_the_share_is_met_and_depends_on_seed_and_task_alone() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(2000), 2)
    labels, subset = rng.integers(0, 5, 4000), rng.choice(SUBSETS, 2000)[groups]
    mask = hidden_labels("place", labels, subset, groups, 0.269, 1)
    for name in ("train", "validation"):
        assert mask[subset == name].mean() == pytest.approx(0.269, abs=0.001)
    assert (hidden_labels("place", labels, subset, groups, 0.269, 1) == mask).all()
    # Another seed, and another task, hide others: as many in common as chance has.
    for other in (("place", 2), ("time", 1)):
        again = hidden_labels(other[0], labels, subset, groups, 0.269, other[1])
        assert (again & mask)[subset != "test"].mean() == pytest.approx(0.269**2, abs=0.03)


def test_of_two_tasks_in_one_queue_the_larger_share_has_the_smaller() -> None:
    rng = np.random.default_rng(0)
    labels, subset = rng.integers(0, 5, (2, 4000)), rng.choice(SUBSETS, 4000)
    few, many = (
        hidden_labels("", labels[task], subset, np.arange(4000), share, 1) for task, share in enumerate((0.3, 0.9))
    )
    assert few.any()
    assert not (few & ~many).any()


@pytest.mark.parametrize("seed", range(5))
def test_a_group_larger_than_what_is_to_be_hidden_does_not_end_it(seed: int) -> None:
    groups = np.array([0] * 500 + list(range(1, 501)))
    labels = np.tile([0, 1], 500)
    mask = hidden_labels("place", labels, np.full(1000, "train"), groups, 0.2, seed)
    assert mask.sum() == 200
