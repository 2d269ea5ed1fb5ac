"""Which decision is in force, how several are merged, and that a journal of another queue is refused."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtail.errors import DataError
from longtail.labelling.decisions import Decided, decisions, in_force
from longtail.labelling.journal import Choice, Entry, Shown
from longtail.labelling.queue import Item, Queue
from longtail.labelling.session import Session

SHOWN = Shown(proposed="cross", confidence=0.75, queue="q", model="m")
ITEM = Item("0", "", "cross", 0.75)


def entry(number: int, who: str, decision: Choice | None, undoes: int | None = None) -> Entry:
    now = datetime.now(UTC)
    return Entry(number=number, who=who, when=now, item="0", shown=SHOWN, decision=decision, undoes=undoes)


def merged(said: Sequence[Choice]) -> Choice | None:
    return Decided(ITEM, {str(place): entry(place, str(place), one) for place, one in enumerate(said)}).merged


@pytest.mark.parametrize(
    ("said", "together"),
    [
        ([], None),
        (["yes"], "yes"),
        (["no"], "no"),
        (["unsure"], "unsure"),
        (["yes", "yes"], "yes"),
        (["yes", "no"], "unsure"),
        (["yes", "unsure"], "yes"),
        (["no", "unsure", "unsure"], "no"),
        (["yes", "no", "unsure"], "unsure"),
        (["yes", "no", "no"], "no"),
    ],
)
def test_the_majority_of_those_who_are_sure(said: list[Choice], together: Choice | None) -> None:
    assert merged(said) == together


@given(st.lists(st.sampled_from(("yes", "no", "unsure")), max_size=9))
def test_merging_knows_no_order_and_no_side(said: list[Choice]) -> None:
    assert merged(said) == merged(sorted(said)) == merged([*said, "unsure"] if said else said)
    turned: dict[Choice, Choice] = {"yes": "no", "no": "yes", "unsure": "unsure"}
    opposite = merged([turned[one] for one in said])
    assert opposite == (None if not said else turned[merged(said) or "unsure"])


def test_the_last_decision_of_a_person_is_in_force_unless_taken_back() -> None:
    entries = [entry(0, "Ada", "yes"), entry(1, "Ben", "no"), entry(2, "Ada", "no"), entry(3, "Ben", None, 1)]
    assert [one.number for one in in_force(entries)] == [2]
    assert [one.number for one in in_force([*entries, entry(4, "Ben", "yes")])] == [2, 4]
    assert in_force([*entries, entry(4, "Ada", None, 2)]) == []


def test_decisions_of_a_queue_stand_in_its_order(queue: Queue) -> None:
    assert [one.merged for one in decisions(queue.path).values()] == [None] * 6
    session, names = Session(queue), list(queue.items)
    session.decide("Ben", names[3], "no", 2.5)
    session.decide("Ada", names[0], "yes")
    session.decide("Ben", names[0], "unsure")
    session.undo("Ada")
    session.close()
    found = decisions(queue.path)
    assert list(found) == names
    assert {item: list(one.by_person) for item, one in found.items() if one.by_person} == {
        names[3]: ["Ben"],
        names[0]: ["Ben"],
    }
    assert (found[names[3]].merged, found[names[3]].by_person["Ben"].seconds) == ("no", 2.5)
    assert found[names[3]].by_person["Ben"].shown.queue == queue.digest


def test_a_journal_of_another_queue_is_refused(queue: Queue) -> None:
    session = Session(queue)
    session.decide("Ada", next(iter(queue.items)), "yes")
    session.close()
    info = queue.path / "queue.json"
    info.write_text(info.read_text().replace('"seed": 0', '"seed": 1'))
    for read in (decisions, lambda path: Session(Queue.open(path))):
        with pytest.raises(DataError, match="line 1 was decided on another queue"):
            read(queue.path)
