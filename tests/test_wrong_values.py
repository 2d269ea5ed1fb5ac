"""What is said of values that are wrong: each finding of pydantic is a sentence, without a word of its types."""

from typing import Any

import pytest

from longtail.errors import DataError
from longtail.parameters import check_section
from longtail.stages.ingest import Params

DIGITS = {"kind": "digits"}


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"source": {"kind": "tabel"}}, "ingest.source.kind is 'tabel'; did you mean 'table'?"),
        ({"source": {}}, "ingest.source has no `kind`, which says what it is"),
        ({"source": "digits"}, "ingest.source is 'digits'; give parameters by name"),
        ({"source": DIGITS | {"copies": "many"}}, "ingest.source.copies is 'many'; it should be a valid integer"),
        ({"source": DIGITS | {"copies": None}}, "ingest.source.copies is null; it should be a valid integer"),
        (
            {"source": DIGITS | {"imbalance": {"kind": "gaussian", "removed": 2}}},
            "ingest.source.imbalance.removed is 2; it should be less than 1",
        ),
        (
            {"source": {"kind": "table", "table": True, "image": "name", "labels": [{"column": "a"}, 3]}},
            "ingest.source.table is true; it should be a valid string; ingest.source.labels.1 is 3; give parameters by "
            "name",
        ),
        ({"source": {"kind": "table", "image": "name", "labels": ["a"]}}, "ingest.source.table is missing"),
        ({"source": {"kind": "table", "table": "a", "image": "name", "labels": "a"}}, "labels is 'a'; give a list"),
        ({"on_error": "maybe"}, "ingest.on_error is 'maybe'; it should be 'fail' or 'skip'"),
        ({"image_shape": [28, 28]}, "ingest.image_shape.2 is missing"),
        ({"worker": 3}, "ingest.worker is not a parameter; did you mean 'workers'?"),
        ({"source": DIGITS | {"workers": 3}}, "ingest.source.workers is not a parameter; "),
    ],
)
def test_a_sentence_says_where_what_and_what_instead(section: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError) as told:
        check_section("ingest", {"source": DIGITS, "image_shape": [28, 28, 1], **section}, Params, "params.yaml")
    said = str(told.value)
    assert says in said
    assert not any(
        word in said for word in ("Input", "instance of", "discriminator", "Value error", "mean 'workers'?;")
    )


def test_a_name_that_is_one_elsewhere_is_not_proposed_for_itself() -> None:
    section = {"source": DIGITS | {"workers": 3}, "image_shape": [28, 28, 1]}
    with pytest.raises(DataError) as told:
        check_section("ingest", section, Params, "params.yaml")
    assert "did you mean 'workers'" not in str(told.value)


def test_what_an_input_holds_is_quoted_in_short() -> None:
    with pytest.raises(DataError) as told:
        check_section("ingest", {"source": DIGITS, "image_shape": [28, 28, 1], "workers": "x" * 9999}, Params, "file")
    assert len(str(told.value)) < 300
