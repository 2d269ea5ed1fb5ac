"""What people get, decide and take back, over restarts; and what is taken from elsewhere."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from queues import make_queue

from longtail.labelling.decisions import decisions
from longtail.labelling.journal import read_journal
from longtail.labelling.queue import Item, Queue
from longtail.labelling.session import Progress, Session


def names(items: list[Item]) -> list[str]:
    return [one.item for one in items]


def test_two_people_share_a_queue_and_the_first_items_are_seen_by_both(queue: Queue) -> None:
    session, items = Session(queue), list(queue.items)
    assert names(session.next("Ada", 4)) == items[:4]
    assert names(session.next("Ben", 4)) == [*items[:2], *items[4:]]
    for who in ("Ada", "Ben"):
        for one in session.next(who, 4):
            session.decide(who, one.item, "yes")
    assert session.next("Ada", 4) == session.next("Ben", 4) == session.next("Cleo", 4) == []
    assert session.progress("Ada") == Progress(asked=8, given=8, open=0, mine=4, last=3)
    session.close()


def test_a_person_alone_is_asked_nothing_twice_and_told_what_waits_for_others(queue: Queue) -> None:
    session = Session(queue)
    while items := session.next("Ada", 1):
        session.decide("Ada", items[0].item, "no")
    assert session.progress("Ada") == Progress(asked=8, given=6, open=2, mine=6, last=5)
    session.close()


def test_after_a_restart_everything_is_as_it_was(queue: Queue) -> None:
    first, items = Session(queue), list(queue.items)
    for item in items[:3]:
        first.decide("Ada", item, "yes")
    first.undo("Ada")
    before = first.progress("Ada")
    first.close()
    again = Session(queue)
    assert again.progress("Ada") == before
    assert names(again.next("Ada", 2)) == items[2:4]
    assert again.undo("Ada") == queue.items[items[1]]
    again.close()


def test_undo_goes_back_one_by_one_and_gives_the_item_again_first(queue: Queue) -> None:
    session, items = Session(queue), list(queue.items)
    for item in items[:3]:
        session.decide("Ada", item, "yes")
    session.decide("Ben", items[0], "no")
    for count, item in enumerate(reversed(items[:3]), 1):
        assert session.undo("Ada") == queue.items[item]
        assert names(session.next("Ada", count))[0] == item
    assert session.undo("Ada") is None
    assert session.undo("Nobody") is None
    session.close()
    assert [list(one.by_person) for one in decisions(queue.path).values()] == [["Ben"], [], [], [], [], []]


def test_an_undo_that_is_sent_again_takes_nothing_more_back(queue: Queue) -> None:
    session, items = Session(queue), list(queue.items)
    for item in items[:2]:
        session.decide("Ada", item, "yes")
    last = session.progress("Ada").last
    assert session.undo("Ada", last) == queue.items[items[1]]
    assert session.undo("Ada", last) is None
    assert session.progress("Ada").mine == 1
    session.close()
    assert len(read_journal(queue.journal)) == 3


def test_a_repeated_decision_is_written_once_and_a_changed_one_twice(queue: Queue) -> None:
    session, item = Session(queue), next(iter(queue.items))
    entry = session.decide("Ada", item, "yes", 2.0)
    assert session.decide("Ada", item, "yes", 9.0) == entry
    assert session.decide("Ada", item, "no").number == 1
    assert session.progress("Ada").mine == 1
    with pytest.raises(KeyError):
        session.decide("Ada", "0" * 64, "yes")
    session.close()
    assert [entry.decision for entry in read_journal(queue.journal)] == ["yes", "no"]


def test_a_decision_after_the_lease_ran_out_counts(queue: Queue) -> None:
    now = [0.0]
    clock: Callable[[], float] = lambda: now[0]  # noqa: E731
    session = Session(queue, seconds=10, clock=clock)
    late = names(session.next("Ada", 6))[5]
    now[0] = 11
    assert late in names(session.next("Ben", 6))
    session.decide("Ada", late, "yes")
    assert late not in names(session.next("Ben", 6))
    session.decide("Ben", late, "no")
    session.close()
    assert list(decisions(queue.path)[late].by_person) == ["Ada", "Ben"]


def test_from_elsewhere_only_what_is_newer_is_taken(queue: Queue) -> None:
    session, (one, two, *_) = Session(queue), list(queue.items)
    session.decide("Ada", one, "yes")
    session.decide("Ada", two, "yes")
    session.undo("Ada")
    before, after = (datetime.now(UTC) + timedelta(hours=hours) for hours in (-1, 1))
    assert not session.take("Ada", one, "no", seconds=None, when=before)
    assert not session.take("Ada", two, "yes", seconds=None, when=before)  # it was taken back since
    assert session.take("Ada", two, "no", seconds=None, when=after)
    assert not session.take("Ada", two, "no", seconds=None, when=after)
    assert session.take("Ben", one, "no", seconds=3.0, when=before)
    session.close()
    found = read_journal(queue.journal)[-1]
    assert (found.who, found.when, found.seconds, found.imported) == ("Ben", before, 3.0, True)


def test_a_large_queue_is_asked_in_no_time(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Even for somebody who has decided all that comes first."""
    session = Session(make_queue(tmp_path_factory.mktemp("large") / "queue", 3000, twice=1500, exemplars=0))
    started = datetime.now(UTC)
    for item in session.next("Ada", 200):
        session.decide("Ada", item.item, "yes")
        session.next("Ada", 4)
        session.progress("Ada")
    took = (datetime.now(UTC) - started).total_seconds() / 200
    print(f"{1000 * took:.2f} ms a decision, the disk's part of it with it")
    assert took < 0.1
    session.close()
