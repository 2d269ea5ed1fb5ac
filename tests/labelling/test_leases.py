"""Leases: nobody gets what others have or have decided beyond what is asked, nor what they decided themselves."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from longtail.labelling.leases import Leases
from longtail.labelling.queue import Item

PEOPLE = ("Ada", "Ben", "Cleo", "Dan")


def items(count: int, twice: int = 0) -> list[Item]:
    return [Item(str(place), "", "cross", 0.9, None, place < twice) for place in range(count)]


class Work(RuleBasedStateMachine):
    """People who ask, decide, take back, and go away, in any order; a plain account of it beside the leases."""

    has = Bundle("has")

    @initialize(count=st.integers(0, 7), twice=st.integers(0, 7))
    def begin(self, count: int, twice: int) -> None:
        self.items = items(count, twice)
        self.wanted = {item.item: 1 + item.twice for item in self.items}
        self.leases, self.now = Leases(self.items, seconds=10), 0.0
        self.decided: dict[str, list[str]] = {item.item: [] for item in self.items}
        self.until: dict[tuple[str, str], float] = {}

    @rule(who=st.sampled_from(PEOPLE), count=st.integers(0, 4))
    def lend(self, who: str, count: int) -> None:
        lent = self.leases.lend(who, count, self.now)
        assert len(lent) == len(set(lent)) <= count
        for item in lent:
            others = {one for (of, one), until in self.until.items() if of == item and until > self.now and one != who}
            assert who not in self.decided[item]
            assert len(others | set(self.decided[item])) < self.wanted[item]
            self.until[item, who] = self.now + 10
        if len(lent) < count:  # and then there was nothing more
            assert all(item in lent or not self.free(item, who) for item in self.wanted)

    @rule(who=st.sampled_from(PEOPLE), pick=st.integers(0, 6))
    def decide(self, who: str, pick: int) -> None:
        """Also late, or of an item that was never lent: what a person says counts."""
        if pick < len(self.items):
            item = self.items[pick].item
            self.leases.decided(who, item)
            self.until.pop((item, who), None)
            self.decided[item] = [*(one for one in self.decided[item] if one != who), who]

    @rule(who=st.sampled_from(PEOPLE), pick=st.integers(0, 6))
    def undo(self, who: str, pick: int) -> None:
        if pick < len(self.items) and who in self.decided[self.items[pick].item]:
            item = self.items[pick].item
            self.leases.undone(who, item, self.now)
            self.decided[item].remove(who)
            if self.free(item, who):
                self.until[item, who] = self.now + 10
                assert self.leases.lend(who, 1, self.now) == [item]

    @rule(seconds=st.floats(0, 15))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def counts_are_right(self) -> None:
        if hasattr(self, "items"):
            given = {item: min(count, len(self.decided[item])) for item, count in self.wanted.items()}
            assert self.leases.asked == sum(self.wanted.values())
            assert self.leases.given == sum(given.values())
            assert self.leases.open == sum(given[item] < count for item, count in self.wanted.items())

    def free(self, item: str, who: str) -> bool:
        others = {one for (of, one), until in self.until.items() if of == item and until > self.now and one != who}
        return who not in self.decided[item] and len(others | set(self.decided[item])) < self.wanted[item]


Work.TestCase.settings = settings(deadline=None, max_examples=150, stateful_step_count=30)
TestWork = Work.TestCase


def test_a_lease_that_runs_out_returns_to_the_queue() -> None:
    leases = Leases(items(3), seconds=10)
    assert leases.lend("Ada", 2, 0) == ["0", "1"]
    assert leases.lend("Ben", 3, 9) == ["2"]
    assert leases.lend("Ben", 3, 11) == ["2", "0", "1"]
    assert leases.lend("Ada", 2, 12) == []


def test_what_is_taken_back_keeps_its_place_for_others() -> None:
    leases = Leases(items(3), seconds=10)
    leases.lend("Ada", 1, 0)
    leases.decided("Ada", "0")
    leases.undone("Ada", "0", 1)
    assert leases.lend("Ben", 3, 12) == ["0", "1", "2"]


def test_asking_again_gives_the_same_and_holds_it_longer() -> None:
    leases = Leases(items(3), seconds=10)
    for now in (0, 8, 16):
        assert leases.lend("Ada", 2, now) == ["0", "1"]
    assert leases.lend("Ben", 3, 17) == ["2"]


def test_what_two_are_to_see_goes_to_two_and_not_to_one_twice() -> None:
    leases = Leases(items(1, twice=1), seconds=10)
    assert leases.lend("Ada", 1, 0) == leases.lend("Ben", 1, 0) == ["0"]
    assert leases.lend("Cleo", 1, 0) == []
    leases.decided("Ada", "0")
    assert leases.lend("Ada", 1, 0) == leases.lend("Cleo", 1, 0) == []
    assert leases.lend("Cleo", 1, 11) == ["0"]
