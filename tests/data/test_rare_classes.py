"""Classes too rare for three subsets: groups move so that each is in every subset, and what cannot is background."""

from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.data.dataset import SUBSETS, Task, codes
from longtail.data.rare_classes import check_classes_left, cover, to_background
from longtail.data.splits import stratify
from longtail.errors import DataError

Ints = npt.NDArray[np.int64]
Subsets = npt.NDArray[np.str_]
SHARES = {"train": 0.6, "validation": 0.2, "test": 0.2}
# Three tasks of up to 2, 3 and 6 classes, −1 missing, and the group of each sample.
TABLES = st.lists(
    st.tuples(st.integers(-1, 1), st.integers(-1, 2), st.integers(-1, 5), st.integers(0, 15)), min_size=1, max_size=60
)
OFFICIAL = st.sampled_from([SUBSETS, ("train", "validation"), ("train", "test"), ("train",)])


def drawn(table: list[tuple[int, int, int, int]], seed: int) -> tuple[list[Ints], Ints, Subsets]:
    *labels, raw = np.array(table).T
    groups = np.unique(raw, return_inverse=True)[1]
    return labels, groups, stratify(labels, groups, SHARES, np.random.default_rng(seed))


def complete(subset: Subsets, labels: list[Ints]) -> set[tuple[int, int]]:
    """The classes, each by its task and code, that have a sample in every subset."""
    every = [(task, code) for task, of_task in enumerate(labels) for code in set(of_task[of_task >= 0].tolist())]
    return {(task, code) for task, code in every if set(subset[labels[task] == code]) == set(SUBSETS)}


def three_groups(labels: list[Ints], groups: Ints) -> set[tuple[int, int]]:
    every = [(task, code) for task, of_task in enumerate(labels) for code in set(of_task[of_task >= 0].tolist())]
    return {(task, code) for task, code in every if len(set(groups[labels[task] == code])) >= 3}


@settings(deadline=None, max_examples=300)
@given(TABLES, st.integers(0, 9), OFFICIAL)
def test_no_group_straddles_no_official_one_moves_and_no_class_loses_a_subset(
    table: list[tuple[int, int, int, int]], seed: int, free: tuple[str, ...]
) -> None:
    labels, groups, before = drawn(table, seed)
    after = cover(before, labels, groups, free)
    assert all(len(set(after[groups == group])) == 1 for group in set(groups.tolist()))
    moved = after != before
    assert set(before[moved]) | set(after[moved]) <= set(free)
    assert complete(before, labels) <= complete(after, labels) <= three_groups(labels, groups)
    assert (cover(before, labels, groups, free) == after).all()


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.integers(-1, 9), st.integers(1, 4)), min_size=1, max_size=60), st.integers(0, 9))
def test_where_groups_have_one_class_each_of_three_groups_is_in_every_subset(
    kinds: list[tuple[int, int]], seed: int
) -> None:
    group_labels, sizes = np.array(kinds).T
    groups = np.repeat(np.arange(len(sizes)), sizes)
    labels = [group_labels[groups]]
    before = np.random.default_rng(seed).choice(list(SUBSETS), len(sizes))[groups]
    assert complete(cover(before, labels, groups, SUBSETS), labels) == three_groups(labels, groups)


def best(labels: list[Ints], groups: Ints) -> int:
    """How many classes can be in every subset at once, by trying every division."""
    every = product(SUBSETS, repeat=int(groups.max()) + 1)
    return max(len(complete(np.array(division)[groups], labels)) for division in every)


@pytest.mark.parametrize("seed", range(60))
def test_as_many_classes_as_any_division_could_have_are_in_every_subset(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(4, 8))
    groups = np.concatenate([np.arange(count), rng.integers(0, count, 3)])
    labels = [rng.integers(-1, rng.integers(1, 4), len(groups)) for _ in range(int(rng.integers(1, 4)))]
    before = stratify(labels, groups, SHARES, rng)
    assert len(complete(cover(before, labels, groups, SUBSETS), labels)) == best(labels, groups)


def test_a_group_that_is_the_last_of_another_class_goes_if_others_make_up_for_it() -> None:
    """Class 0 of the first task lacks in test; its movable groups each hold the last of a class of the second task."""
    one = np.array([0, 0, 0, 1, 1, 1])
    two = np.array([0, 1, 1, 0, 1, 0])
    before = np.array(["train", "train", "validation", "validation", "test", "test"])
    after = cover(before, [one, two], np.arange(6), SUBSETS)
    assert complete(after, [one, two]) == {(0, 0), (0, 1), (1, 0), (1, 1)}


def table_of(labels: list[Ints]) -> tuple[pd.DataFrame, list[Task]]:
    tasks = [Task(name=f"t{i}", classes=[f"c{c}" for c in range(of.max(initial=0) + 1)]) for i, of in enumerate(labels)]
    columns = {
        task.name: pd.Categorical.from_codes(of_task, categories=task.classes)
        for task, of_task in zip(tasks, labels, strict=True)
    }
    return pd.DataFrame(columns), tasks


@settings(deadline=None, max_examples=300)
@given(TABLES, st.integers(0, 9), OFFICIAL)
def test_what_is_left_is_in_every_subset_and_what_is_not_is_background_or_left_out(
    table: list[tuple[int, int, int, int]], seed: int, free: tuple[str, ...]
) -> None:
    labels, groups, before = drawn(table, seed)
    subset = cover(before, labels, groups, free)
    samples, tasks = table_of(labels)
    made = to_background(samples, subset, tasks, groups)
    listed = {(one.task, one.name) for one in made.rare.classes} if made.rare else set()
    alone = np.ones(len(subset), bool)
    for task, new, of_task in zip(tasks, made.tasks, labels, strict=True):
        foreground = {name for name in new.classes if name != new.background}
        assert foreground == set(task.classes) - {name for of, name in listed if of == task.name}
        names, after = np.array(task.classes)[of_task], codes(made.samples, new)
        now = np.array([*new.classes, None], dtype=object)[after]
        for name in foreground:
            assert set(made.subset[now == name]) - {""} == set(SUBSETS)
        kept = np.isin(names, list(foreground)) & (of_task >= 0)
        assert (now[kept] == names[kept]).all()
        rare = (of_task >= 0) & ~kept
        assert (now[rare] == new.background).all()
        assert (after[of_task < 0] == -1).all()
        assert (new.background is not None) == bool((rare & (made.subset == "train")).any())
        alone &= ~kept
    alone &= np.any([of_task >= 0 for of_task in labels], axis=0)
    assert (made.subset == np.where(alone, "", subset)).all()
    assert (made.rare.left_out if made.rare else 0) == alone.sum()


def test_a_rare_class_joins_the_background_that_its_task_has_already() -> None:
    task = Task(name="kind", classes=["other", "a", "b", "rare"], background="other")
    names = ["a", "a", "a", "b", "b", "b", "other", "rare"]
    samples = pd.DataFrame({"kind": pd.Categorical(names, categories=task.classes), "more": ["x"] * 8})
    more = Task(name="more", classes=["x"])
    subset = np.array([*SUBSETS, *SUBSETS, "train", "test"])
    made = to_background(samples, subset, [task, more], np.arange(8))
    assert made.tasks == [Task(name="kind", classes=["other", "a", "b"], background="other"), more]
    assert made.samples["kind"].tolist() == [*names[:7], "other"]
    assert made.rare is not None
    assert made.rare.classes[0].model_dump() == {"task": "kind", "name": "rare", "samples": 1, "groups": 1}
    assert "'rare' of kind (1 samples, 1 groups)" in made.rare.sentence()


def two_tasks(**columns: list[Any]) -> tuple[pd.DataFrame, list[Task]]:
    tasks = [Task(name=name, classes=sorted(set(values))) for name, values in columns.items()]
    return pd.DataFrame(columns), tasks


def test_a_class_of_its_own_called_background_is_refused() -> None:
    samples, tasks = two_tasks(kind=["background", "a", "a", "a"], more=["x", "x", "x", "x"])
    with pytest.raises(DataError, match="has a class 'background' of its own"):
        to_background(samples, np.array(["train", *SUBSETS]), tasks, np.arange(4))


def test_a_task_that_keeps_one_class_is_refused() -> None:
    samples, tasks = two_tasks(kind=["b", "a", "a", "a"], more=["x", "x", "x", "x"])
    made = to_background(samples, np.array(["train", *SUBSETS]), tasks, np.arange(4))
    with pytest.raises(DataError, match=r"task 'kind' has fewer than two classes that are in every subset \(\['a'\]\)"):
        check_classes_left(made.tasks, made.rare)
