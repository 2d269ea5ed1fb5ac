"""A queue while people work on it: what each gets next, what they decide, what they take back."""

import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from longtail.labelling.decisions import check_entries, in_force
from longtail.labelling.journal import Choice, Entry, Journal, Shown
from longtail.labelling.leases import SECONDS, Leases
from longtail.labelling.queue import Item, Queue


class Progress(NamedTuple):
    """Of the decisions that are `asked` for in all, how many are `given`; on how many items some are still missing,
    `open`; how many this person has made, `mine`, and the number of the last of them that is in force, `last`.
    """

    asked: int
    given: int
    open: int
    mine: int
    last: int | None


class Session:
    """One process's work on a queue, by many threads. Raises DataError as the queue and its journal do."""

    def __init__(self, queue: Queue, *, seconds: float = SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self.queue = queue
        self._one_at_a_time, self._clock = threading.Lock(), clock
        self._journal = Journal.open(queue.journal)
        try:
            check_entries(queue, self._journal.entries)
        except BaseException:
            self._journal.close()
            raise
        self._leases = Leases(queue.items.values(), seconds)
        # By person what they decided and did not take back, by item, the last at the end.
        self._own: dict[str, dict[str, Entry]] = {}
        self._last: dict[tuple[str, str], Entry] = {}
        for entry in in_force(self._journal.entries):
            self._note(entry)
        self._last = {(entry.item, entry.who): entry for entry in self._journal.entries}

    def next(self, who: str, count: int) -> list[Item]:
        """At most `count` items for a person to decide now, lent to them; none if there is none for them."""
        with self._one_at_a_time:
            return [self.queue.items[item] for item in self._leases.lend(who, count, self._clock())]

    def decide(self, who: str, item: str, decision: Choice, seconds: float | None = None) -> Entry:
        """Write a decision into the journal; it is on the disk when this returns.

        The same decision again, of someone who could not know that it had arrived, is not written twice. One that
        comes after its lease has run out counts too. Raises KeyError for an item that is none of the queue, and
        OSError where the disk refuses.
        """
        with self._one_at_a_time:
            before = self._own.get(who, {}).get(item)
            if before is not None and before.decision == decision:
                return before
            entry = self._journal.append(who, item, self._shown(item), decision=decision, seconds=seconds)
            self._note(entry)
            return entry

    def take(self, who: str, item: str, decision: Choice, *, seconds: float | None, when: datetime) -> bool:
        """Write a decision of elsewhere into the journal, unless that has one as new of this person on this item, or
        that they took one back as late; whether it was written.
        """
        with self._one_at_a_time:
            last = self._last.get((item, who))
            if last is not None and last.when >= when:
                return False
            entry = self._journal.append(
                who, item, self._shown(item), decision=decision, seconds=seconds, when=when, imported=True
            )
            self._note(entry)
            return True

    def undo(self, who: str, number: int | None = None) -> Item | None:
        """Take back the last decision of a person, who has its item before them again; None if they have none.

        With the `number` of that decision nothing is taken back twice by who could not know that it had been.
        """
        with self._one_at_a_time:
            own = self._own.get(who)
            if not own:
                return None
            item, entry = next(reversed(own.items()))
            if number not in (None, entry.number):
                return None
            self._last[item, who] = self._journal.append(who, item, entry.shown, undoes=entry.number)
            del own[item]
            self._leases.undone(who, item, self._clock())
            return self.queue.items[item]

    def progress(self, who: str) -> Progress:
        """How far the queue is, and what this person did of it."""
        with self._one_at_a_time:
            leases = self._leases
            own = self._own.get(who, {})
            last = next(reversed(own.values())).number if own else None
            return Progress(leases.asked, leases.given, leases.open, len(own), last)

    def close(self) -> None:
        """Let another process have the queue."""
        with self._one_at_a_time:
            self._journal.close()

    def _shown(self, item: str) -> Shown:
        about, info = self.queue.items[item], self.queue.info
        return Shown(
            proposed=about.proposed, confidence=about.confidence, queue=self.queue.digest, model=info.model.digest
        )

    def _note(self, entry: Entry) -> None:
        self._last[entry.item, entry.who] = entry
        own = self._own.setdefault(entry.who, {})
        own.pop(entry.item, None)  # so that it stands at the end
        own[entry.item] = entry
        self._leases.decided(entry.who, entry.item)
