"""docs/parameters.md is what the models say, whole, and says of every parameter what it means."""

import re

import pytest
import yaml
from pydantic import BaseModel

from longtail.methods.base import MethodParams
from pipelines.reference import PAGE, Part, all_parts, meaning, reference

PARTS = list(all_parts().values())
ROW = re.compile(r"^\| `(\w+)` \| (.*) \| (.*) \| (.*) \|$", re.MULTILINE)


def chapter(heading: str) -> str:
    return reference().split(f"\n## {heading}\n")[1].split("\n## ")[0]


def rows(heading: str) -> dict[str, tuple[str, str, str]]:
    return {name: (values, default, said) for name, values, default, said in ROW.findall(chapter(heading))}


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), "run `python -m pipelines parameters`"


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.heading)
def test_every_parameter_says_what_it_means(part: Part) -> None:
    """By itself, by what its own section says, or in the words of the docstring around it."""
    docstring = part.model.__doc__ or ""
    silent = [
        name
        for name, field in part.fields.items()
        if not meaning(field) and f"`{name}`" not in docstring and f"`{name}: " not in docstring
        if not isinstance(field.annotation, type) or not issubclass(field.annotation, BaseModel)
    ]
    assert silent == []


def test_every_link_has_its_heading() -> None:
    page = reference()
    anchors = {
        re.sub(r"[^\w-]", "", heading.lower().replace(" ", "-")) for heading in re.findall(r"^## (.*)$", page, re.M)
    }
    assert set(re.findall(r"\]\(#(.*?)\)", page)) <= anchors
    assert len(anchors) == len(PARTS) + 1  # and no heading stands twice


def test_rows_say_values_bounds_and_defaults() -> None:
    fits = rows("fits")
    assert fits["batch"][:2] == ("whole number ≥ 1, ≤ 1,048,576", "`128`")
    assert fits["method"][0] == "one of the methods"
    assert rows("optimisation")["schedule"][:2] == ("`constant`, `cosine`, `step`", "`cosine`")
    assert rows("optimisation")["milestones"][:2] == ("list of number > 0, < 1", "`[0.8, 0.9]`")
    assert rows("split")["hidden"][0] == "by name, number > 0, < 1"
    assert rows("method class_rectification")["weight"][0] == "number ≥ 0, `imbalance`"
    assert rows("source digits")["scale"][:2] == ("list: number; number", "`[0.9, 1.1]`")
    assert rows("source table")["labels"][:2] == ("list of [labels](#labels)", "required")


def test_a_round_says_what_it_shares_with_other_trainings() -> None:
    own, train = rows("train"), chapter("train")
    assert {"patience", "fresh", "schedule_rounds"} <= set(own)
    assert "As in [fits](#fits): " in train
    assert "`optimisation`" in train
    assert "optimisation" not in own


def test_defaults_are_what_a_section_without_them_has() -> None:
    """Of every model that needs nothing: what the page says, read as YAML, is what it has."""
    for part in PARTS:
        if any(field.is_required() for name, field in part.model.model_fields.items() if name != "kind"):
            continue
        needed = {"kind": part.model.model_fields["kind"].get_default()} if part.paper else {}
        try:
            have = part.model.model_validate(needed)
        except ValueError:  # of parameters of which one of two has to be given
            continue
        for name, (_, default, _) in rows(part.heading).items():
            if default.startswith("`"):
                value = getattr(have, name)
                value = {"kind": value.kind} if isinstance(value, MethodParams) else value
                value = list(value) if isinstance(value, tuple) else getattr(value, "value", value)
                assert yaml.safe_load(default.strip("`")) == value, (part.heading, name)
