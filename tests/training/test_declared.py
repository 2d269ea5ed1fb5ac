"""Which trainings params.yaml declares: their order, what leads to each, and a sentence for each mistake."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtail.errors import DataError
from longtail.training.declared import START, TAKEN, Trainings, check_said, declared_trainings, schedule_warnings

AFTER_START = {"after": START}
OF_YAML_1_1 = (
    "{} has a key `true`, which libraries of YAML 1.1 make of `on`: write `on`, and use one of YAML 1.2, as ruamel.yaml"
)


def declared(**changes: Any) -> Trainings:
    """Two trainings of `fits` and two rounds, all of them after the one that stands below it, and what is changed."""
    values = {
        "fits": {"b": {"after": "a", "batch": 8}, "a": AFTER_START},
        "rounds": {"r2": {"after": "r1"}, "r1": {"after": "b"}},
        "evaluate": {"models": ["r2", "a"]},
    }
    return declared_trainings(values | changes, "params.yaml")


def refusal(**changes: Any) -> str:
    with pytest.raises(DataError) as error:
        declared(**changes)
    message = str(error.value)
    assert message.startswith("params.yaml: ")
    assert "\n" not in message
    return message.removeprefix("params.yaml: ")


def test_every_training_stands_behind_what_it_follows() -> None:
    found = declared()
    assert found.after == {"a": START, "b": "a", "r1": "b", "r2": "r1"}
    assert list(found.after) == ["a", "b", "r1", "r2"]
    assert (found.fits, found.rounds) == (["a", "b"], ["r1", "r2"])


def test_else_they_stand_as_they_are_declared() -> None:
    fits = dict.fromkeys("cab", AFTER_START)
    assert declared(fits=fits, rounds={"r": {"after": "b"}}, evaluate={"models": ["c"]}).fits == ["c", "a", "b"]


def test_a_training_of_fits_may_follow_a_round() -> None:
    found = declared(fits={"a": {"after": "r1"}}, rounds={"r1": AFTER_START}, evaluate={"models": ["a"]})
    assert list(found.after) == ["r1", "a"]
    assert (found.fits, found.rounds) == (["a"], ["r1"])


def test_the_trainings_up_to_a_model_are_those_that_lead_to_it() -> None:
    found = declared()
    assert found.up_to("r2") == ["a", "b", "r1", "r2"]
    assert found.up_to("a") == ["a"]
    assert found.up_to(START) == []


def test_the_first_model_is_the_baseline_where_none_is_named() -> None:
    assert (declared().models, declared().baseline) == (["r2", "a"], "r2")
    assert declared(evaluate={"models": ["r2", "a"], "baseline": "a"}).baseline == "a"


@pytest.mark.parametrize("empty", [{}, None])
def test_nothing_need_be_trained(empty: Any) -> None:
    found = declared(fits=empty, rounds=empty, evaluate={"models": [START]})
    assert found == Trainings({}, {}, {}, [], [], [START], START)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"fits": {"a": {"after": "z"}}}, "a follows 'z', and there is no such training; there are start, r2, r1"),
        (
            {"fits": {"a": {"after": "b"}, "b": {"after": "a"}, "c": AFTER_START}},
            "a, b, r2, r1 follow each other in a circle; let one of them follow start",
        ),
        (
            {"fits": {"b": {"after": "b"}}, "rounds": {}},
            "b follow each other in a circle; let one of them follow start",
        ),
        ({"fits": {1: AFTER_START}}, "a training is called 1, which is no text; write it in quotes: '1'"),
        ({"rounds": {True: AFTER_START}}, "a training is called True, which is no text; write it in quotes: 'True'"),
        ({"fits": {"b": {"after": 1}}}, "b follows 1, which is no text; write it in quotes: '1'"),
        ({"fits": {"b": {"batch": 8}}}, "b does not say what it follows; give it `after: start`, or another training"),
        ({"fits": {"b": {"after": None}}}, "b follows None, which is no text; write it in quotes: 'None'"),
        (
            {"fits": {"b": AFTER_START, "r1": AFTER_START}},
            "r1 stands in `fits` and in `rounds`; give one of them another name",
        ),
        (
            {"fits": {"a-b": AFTER_START}},
            "a training is called 'a-b'; a name has letters, digits and _ alone",
        ),
        ({"fits": {"": AFTER_START}}, "a training is called ''; a name has letters, digits and _ alone"),
        ({"fits": {"ä": AFTER_START}}, "a training is called 'ä'; a name has letters, digits and _ alone"),
        (
            {"rounds": {"r1": {"after": "b", "batch": 8}}},
            "rounds.r1.batch: all rounds are trained as the section `train` says",
        ),
        ({"rounds": {"r1": {"after": "b", True: "dataset"}}}, OF_YAML_1_1.format("r1")),
        ({"fits": {"b": {"after": "start", True: "dataset"}}}, OF_YAML_1_1.format("b")),
        (
            {"rounds": {"r1": {"after": "b", "batch": 8, 1: 2}}},
            "rounds.r1.1: all rounds are trained as the section `train` says",
        ),
        (
            {"fits": ["a"]},
            "`fits` must name trainings, each with what it follows: fits: {a: {after: start}}",
        ),
        (
            {"rounds": {"r1": "softmax"}},
            "`rounds` must name trainings, each with what it follows: rounds: {a: {after: start}}",
        ),
        ({"evaluate": {}}, "evaluate.models names no model; name one or more of start, a, b, r1, r2"),
        ({"evaluate": None}, "evaluate.models names no model; name one or more of start, a, b, r1, r2"),
        ({"evaluate": {"models": []}}, "evaluate.models names no model; name one or more of start, a, b, r1, r2"),
        ({"evaluate": {"models": "a"}}, "evaluate.models names no model; name one or more of start, a, b, r1, r2"),
        ({"evaluate": {"models": ["a", "z"]}}, "evaluate.models names 'z'; the models are start, a, b, r1, r2"),
        ({"evaluate": {"models": ["a", 1]}}, "evaluate.models names 1; the models are start, a, b, r1, r2"),
        ({"evaluate": {"models": ["a", "a"]}}, "evaluate.models names a model twice: ['a', 'a']"),
        (
            {"evaluate": {"models": ["a", "b"], "baseline": "r1"}},
            "evaluate.baseline is 'r1', which is none of evaluate.models: ['a', 'b']",
        ),
    ],
)
def test_what_is_wrong_is_one_sentence(changes: dict[str, Any], says: str) -> None:
    assert refusal(**changes) == says


@pytest.mark.parametrize("name", ["a/b", "../up", "a b", "a.b", "r1\n", "$x", "a@b"])
@pytest.mark.parametrize("section", ["fits", "rounds"])
def test_no_name_leads_elsewhere_or_means_something_to_dvc(section: str, name: str) -> None:
    says = f"a training is called {name!r}; a name has letters, digits and _ alone"
    assert refusal(**{section: {name: AFTER_START}}) == says


@pytest.mark.parametrize("name", TAKEN)
@pytest.mark.parametrize("section", ["fits", "rounds"])
def test_the_names_of_other_artifacts_are_taken(section: str, name: str) -> None:
    says = f"a training is called {name}, as another artifact is; give it another name"
    assert refusal(**{section: {name: AFTER_START}}) == says


@st.composite
def acyclic(draw: st.DrawFn) -> dict[str, str]:
    """Trainings in any order, each with what it follows: `start` or one of those that were made before it."""
    count = draw(st.integers(1, 12))
    after = {f"t{i}": draw(st.sampled_from([START, *(f"t{j}" for j in range(i))])) for i in range(count)}
    return {name: after[name] for name in draw(st.permutations(list(after)))}


def sections(after: dict[str, str], rounds: set[str]) -> dict[str, Any]:
    """The parameters that declare them; `rounds` are the names of those that stand there."""
    entries = {name: {"after": before} for name, before in after.items()}
    return {
        "fits": {name: entry for name, entry in entries.items() if name not in rounds},
        "rounds": {name: entry for name, entry in entries.items() if name in rounds},
        "evaluate": {"models": list(after)},
    }


@given(acyclic(), st.data())
def test_of_any_declaration_every_training_comes_behind_what_it_follows(
    after: dict[str, str], data: st.DataObject
) -> None:
    rounds = data.draw(st.sets(st.sampled_from(list(after))))
    found = declared_trainings(sections(after, rounds), "params.yaml")
    order = [START, *found.after]
    assert found.after == after
    assert all(order.index(before) < order.index(name) for name, before in after.items())
    assert found.fits == [name for name in found.after if name not in rounds]
    assert found.rounds == [name for name in found.after if name in rounds]
    for name, before in after.items():
        assert found.up_to(name) == [*found.up_to(before), name]


@given(acyclic(), st.data())
def test_of_no_declaration_with_a_circle_there_is_an_order(after: dict[str, str], data: st.DataObject) -> None:
    rounds = data.draw(st.sets(st.sampled_from(list(after))))
    last = data.draw(st.sampled_from(list(after)))
    behind = declared_trainings(sections(after, rounds), "params.yaml").up_to(last)
    circle = after | {data.draw(st.sampled_from(behind)): last}
    with pytest.raises(DataError, match=rf"{last}.* follow each other in a circle|, {last}\b.* in a circle"):
        declared_trainings(sections(circle, rounds), "params.yaml")


@pytest.mark.parametrize(
    ("schedule", "wrong"),
    [(1, {}), (2, {"r3": "more", "other": "fewer"}), (3, {"other": "fewer"}), (5, {"r3": "fewer"})],
)
def test_a_schedule_over_the_rounds_has_as_many_as_there_are(schedule: int, wrong: dict[str, str]) -> None:
    """r1 to r3 are a chain of three, `other` is a round of its own."""
    follows = {"r1": "start", "r2": "r1", "r3": "r2", "other": "start"}
    values = {
        "rounds": {name: {"after": after, "on": "dataset"} for name, after in follows.items()},
        "train": {"schedule_rounds": schedule},
        "evaluate": {"models": ["r3"]},
    }
    said = schedule_warnings(values, "params.yaml")
    assert {name for name, how in wrong.items() if how == "fewer"} <= {one.split()[1] for one in said}
    if "more" in wrong.values():
        with pytest.raises(DataError, match=r"r3 is round 3, and train\.schedule_rounds ends the schedule"):
            check_said(values, "params.yaml")
    else:
        check_said(values, "params.yaml")
    assert schedule > 1 or not said
