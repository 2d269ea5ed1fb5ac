"""What the user sees of many problems: every kind, bounded, and what to do."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtail.errors import DataError
from longtail.sources.problems import LISTED, Problems
from longtail.sources.quoting import listed, shown


def message(counts: dict[str, int]) -> str:
    problems = Problems("fail")
    for reason, count in counts.items():
        for i in range(count):
            problems.add(reason, f"file {i}", "why", f"Mend {reason}.")
    with pytest.raises(DataError) as caught:
        problems.settle()
    return str(caught.value)


@given(st.dictionaries(st.text("abc", min_size=1), st.integers(1, 60), min_size=1, max_size=LISTED))
def test_every_kind_is_among_the_first_lines_with_its_count_and_remedy(counts: dict[str, int]) -> None:
    lines = message(counts).splitlines()
    named = [line for line in lines if line.startswith("  file ")]
    assert len(named) <= LISTED
    assert len(named) == min(LISTED, sum(counts.values()))
    for reason, count in counts.items():
        mine = sum(line.endswith(f": {reason} (why)") for line in named)
        assert mine >= 1
        assert (f"  … and {count - mine} more: {reason}" in lines) == (count > mine)
        assert f"  → Mend {reason}." in lines


def test_many_of_one_kind_do_not_hide_one_of_another() -> None:
    assert "file 0: rare (why)" in message({"common": 30_000, "rare": 1})


def test_skip_warns_once_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    problems = Problems("skip")
    problems.add("torn", "file")
    problems.stop_before_decoding()
    with caplog.at_level(logging.WARNING):
        problems.settle()
    assert [record.getMessage() for record in caplog.records] == [
        "left out because of 1 problem(s) in the input:\n  file: torn"
    ]
    assert problems.scalars() == {"left_out_torn": 1.0}


ANY = st.characters(exclude_categories=())  # halves of characters too


@given(st.one_of(st.text(ANY), st.binary(), st.lists(st.text(ANY))), st.integers(10, 300))
def test_what_is_quoted_is_one_printable_line_of_bounded_length(value: object, longest: int) -> None:
    text = shown(value, longest)
    assert text.isprintable() or not text
    assert len(text) <= 10 * longest  # a character that cannot be printed is shown by its code


def test_a_long_cell_keeps_its_beginning_and_its_end() -> None:
    text = shown("a" * 300_000 + "z")
    assert len(text) <= 120
    assert (text[0], text[-1]) == ("a", "z")
    assert shown("caf\udce9\n") == "caf\\xe9\\n"
    assert listed(range(12)).endswith("'9'] and 2 more")
