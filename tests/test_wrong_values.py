"""What is said of values that are wrong: each finding of pydantic is a sentence, without a word of its types."""

import importlib
from typing import Any

import pytest

from longtail.errors import DataError
from longtail.parameters import check_section
from longtail.stages.contract import params_model
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
        ({"source": DIGITS | {"digits": 3}}, "ingest.source.digits is not a parameter; "),
        ({"source": {"kind": 7}}, "ingest.source.kind is 7; known are bsds500, "),
        ({"limits": {5: 1}}, "ingest.limits.5 has a name that is no text; write it in quotes"),
        ({"image_shape": [28.5, 28, 1]}, "ingest.image_shape.0 is 28.5; it should be a valid integer"),
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


@pytest.mark.parametrize(
    ("stage", "section", "says"),
    [
        (
            "fit",
            {"sampling": "class-even"},
            "fit.sampling is 'class-even'; it should be 'natural', 'class_even', 'square_root', 'progressive', 'over' "
            "or 'under', or be a valid number",
        ),
        ("fit", {"network": {"relu": "classifer"}}, "is 'classifer'; it should be a valid boolean, or be 'classifier'"),
        ("fit", {"method": {"kind": "softmax", "softmax": 3}}, "fit.method.softmax is not a parameter; "),
        ("index", {"target": {"digit": {1: 0.5}}}, "index.target.digit"),
        ("evaluate", {"models": []}, "evaluate.models is a list; it should have at least 1 item"),
        ("split", {"imbalance_unit": "groups"}, "split.imbalance_unit is 'groups'; it should be 'group' or 'sample'"),
    ],
)
def test_forms_of_a_value_are_told_together(stage: str, section: dict[str, Any], says: str) -> None:
    model = params_model(importlib.import_module(f"longtail.stages.{stage}").run)
    with pytest.raises(DataError) as told:
        check_section(stage, section, model, "params.yaml")
    assert says in str(told.value)
    assert not any(word in str(told.value) for word in ("literal[", "constrained", "[key]"))


def test_a_mapping_is_not_quoted_since_it_may_hold_secrets() -> None:
    remote = {"url": "s3://bucket", "secret_access_key": "hunter2"}
    model = params_model(importlib.import_module("longtail.stages.fetch").run)
    for section in ({"remote": remote}, {"remote": "s3://bucket", "endpoint": ["https://user:hunter2@example.org"]}):
        with pytest.raises(DataError) as told:
            check_section("fetch", section, model, "params.yaml")
        assert "hunter2" not in str(told.value)
        assert " is a " in str(told.value)


def test_a_name_that_is_one_elsewhere_is_not_proposed_for_itself() -> None:
    section = {"source": DIGITS | {"workers": 3}, "image_shape": [28, 28, 1]}
    with pytest.raises(DataError) as told:
        check_section("ingest", section, Params, "params.yaml")
    assert "did you mean 'workers'" not in str(told.value)


def test_what_an_input_holds_is_quoted_in_short() -> None:
    with pytest.raises(DataError) as told:
        check_section("ingest", {"source": DIGITS, "image_shape": [28, 28, 1], "workers": "x" * 9999}, Params, "file")
    assert len(str(told.value)) < 300
