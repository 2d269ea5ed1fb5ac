"""What the report says of weights that were trained on other images than those that its model is tested beside."""

import re

import pytest

from longtail.artifacts.lineage import Lineage, extended
from longtail.report.history import trained_elsewhere


def split_of(dataset: str, seed: int) -> Lineage:
    return extended("split", {"seed": seed}, {"dataset": Lineage(dataset=dataset)}, {}, Lineage())


def model(split: Lineage, before: Lineage | None) -> Lineage:
    params = {"name": "some", "method": {"kind": "softmax"}}
    return extended("fit", params, {"split": split}, {} if before is None else {"previous": before}, Lineage())


@pytest.mark.parametrize(
    ("dataset", "seed", "said"),
    [("a", 0, None), ("a", 1, "another split of this data set"), ("b", 0, r"another data set \(md5 b")],
)
def test_other_data_and_other_splits_of_the_same_are_told(dataset: str, seed: int, said: str | None) -> None:
    found = trained_elsewhere("mine", model(split_of("a", 0), model(split_of(dataset, seed), None)))
    assert len(found) == (said is not None)
    assert said is None or re.search(said, found[0])


def test_what_was_trained_here_is_known_from_what_was_not() -> None:
    here, there = split_of("a", 0), split_of("b", 0)
    started = extended("start", {}, {"split": here}, {"weights": model(there, None)}, Lineage())
    assert not started.trained_here
    assert model(here, started).trained_here
