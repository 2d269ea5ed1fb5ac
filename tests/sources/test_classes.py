"""Class names: one order whatever the hashes, one form, and no two that look alike."""

import subprocess
import sys
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtail.errors import DataError
from longtail.sources.classes import found_classes, make_task, ordered

NAMES = st.lists(st.text("0123\u0661\u0662ab ", min_size=1, max_size=3), max_size=6, unique=True)


@given(NAMES.flatmap(lambda names: st.tuples(st.just(names), st.permutations(names))))
def test_the_order_does_not_depend_on_what_it_is_made_from(names: tuple[list[str], list[str]]) -> None:
    one, other = names
    assert ordered(one) == ordered(other)


def test_the_order_does_not_depend_on_the_hash_seed() -> None:
    code = "from longtail.sources.classes import ordered; print(ordered({'1', '01', '2', '02', '001', '\u0661'}))"
    orders = set()
    for seed in range(3):
        environment = {"PYTHONHASHSEED": str(seed), "PYTHONPATH": ":".join(sys.path)}
        done = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
        orders.add(done.stdout)
    assert len(orders) == 1


def test_numbers_are_in_the_order_of_their_value() -> None:
    for names in permutations(["10", "2", "01", "1"]):
        assert ordered(names) == ["01", "1", "2", "10"]
    assert ordered(["9" * 5000, "1"]) == ["1", "9" * 5000]


@pytest.mark.parametrize(
    "pair",
    [
        *[("Shirt", "shirt"), ("ice cream", "icecream"), ("stra\u00dfe", "STRASSE")],
        *[("\uff21", "a"), ("\u212b", "\u00e5")],
        *[("silk", "silk\u200b"), ("silk", "si\u00adlk"), ("silk", "silk\0"), ("silk", "\ufeffsilk")],
    ],
)
def test_classes_that_look_alike_are_refused_unless_they_are_declared(pair: tuple[str, str]) -> None:
    with pytest.raises(DataError, match=r"photos: the classes .* differ only in case.*`classes`"):
        found_classes({*pair, "other"}, "photos")
    assert make_task("label", list(pair)).classes == list(pair)


@pytest.mark.parametrize("names", [("a" * 300, ["a", "b"]), ("label", ["a", "b" * 300_000])])
def test_names_of_tasks_and_classes_are_bounded(names: tuple[str, list[str]]) -> None:
    with pytest.raises(DataError, match="characters") as caught:
        make_task(*names)
    assert len(str(caught.value)) < 500
