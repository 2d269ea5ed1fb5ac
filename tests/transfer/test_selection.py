"""The greedy selection of source classes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtail.errors import DataError
from longtail.transfer.comparison import compare
from longtail.transfer.domain import Domain
from longtail.transfer.selection import select_classes


def on_a_line(name: str, *places: float, counts: list[int] | None = None) -> Domain:
    means = np.array(places, np.float64)[:, None]
    return Domain(name, [f"at {place:g}" for place in places], means, np.array(counts or [1] * len(places)))


SOURCE = on_a_line("line", 0, 1, 2, 3, 10, 11, 12)


def test_the_classes_nearest_to_a_target_are_taken() -> None:
    assert select_classes(SOURCE, [on_a_line("far", 12)], [2]) == ["at 11", "at 12"]
    # By the mean distance over the target's images, and not by its nearest class.
    assert select_classes(SOURCE, [on_a_line("both", 0, 12, counts=[1, 9])], [1]) == ["at 12"]


def test_of_several_targets_what_both_want_is_taken_once() -> None:
    targets = [on_a_line("a", 0), on_a_line("b", 1.9)]
    assert select_classes(SOURCE, targets, [2]) == ["at 0", "at 1", "at 2"]
    assert select_classes(SOURCE, targets, [1, 4]) == ["at 0", "at 1", "at 2", "at 3"]


@given(st.integers(1, 9), st.integers(0, 9_999))
def test_it_is_the_plain_sort_of_every_class_alone(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    source = on_a_line("source", *rng.normal(size=9))
    target = on_a_line("target", *rng.normal(size=4), counts=rng.integers(1, 9, 4).tolist())
    means, shares = target.means[:, 0], target.counts / target.counts.sum()
    alone = [
        sum(share * float(abs(mean - own[0])) for share, mean in zip(shares, means, strict=True))
        for own in source.means
    ]
    chosen = {source.classes.index(name) for name in select_classes(source, [target], [count])}
    others = set(range(9)) - chosen
    assert len(chosen) == count
    assert max(alone[i] for i in chosen) <= min((alone[i] for i in others), default=np.inf) + 1e-12


def test_small_classes_are_never_selected_and_are_named() -> None:
    source = on_a_line("source", 0, 1, 2, counts=[199, 200, 201])
    found = compare(source, [on_a_line("target", 0, counts=[1])], select=[1])
    assert (found.selected, found.dropped) == (["at 1"], {"at 0": 199})
    assert found.distances == [pytest.approx(1 * 200 / 401 + 2 * 201 / 401)]
    assert "dropped, with fewer than 200 training images: ['at 0']" in found.text()
    # The target's classes count, however small.
    assert found.as_json()["targets"][0]["classes"] == 1


@pytest.mark.parametrize(
    ("counts", "message"), [([8], "8 classes are asked for, and the source has 7"), ([1, 1, 1], "for 2 targets")]
)
def test_what_cannot_be_selected_is_refused(counts: list[int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        select_classes(SOURCE, [SOURCE, SOURCE], counts)
