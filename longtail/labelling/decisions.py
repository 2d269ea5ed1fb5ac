"""What people decided: of each item the decision in force of each person, and what follows from them together."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from longtail.errors import DataError
from longtail.labelling.journal import Choice, Entry, read_journal
from longtail.labelling.queue import LONGEST, Item, Queue
from longtail.sources.quoting import shown


class Decided(NamedTuple):
    """An item, and by person the entry in force on it, in the order in which they decided."""

    item: Item
    by_person: dict[str, Entry]

    @property
    def merged(self) -> Choice | None:
        """None if nobody decided; else what most of those say who are sure, and "unsure" without a majority."""
        if not self.by_person:
            return None
        said = [entry.decision for entry in self.by_person.values()]
        lead = said.count("yes") - said.count("no")
        return "yes" if lead > 0 else "no" if lead < 0 else "unsure"


def decisions(queue: Path) -> dict[str, Decided]:
    """Of each item of a queue directory, in its order, what was decided. Raises DataError if it cannot be read."""
    opened = Queue.open(queue)
    entries = read_journal(opened.journal)
    check_entries(opened, entries)
    found = {item: Decided(about, {}) for item, about in opened.items.items()}
    for entry in in_force(entries):
        found[entry.item].by_person[entry.who] = entry
    return found


def in_force(entries: Iterable[Entry]) -> list[Entry]:
    """Of each person on each item the last decision, unless they took it back; in the order in which they decided."""
    last: dict[tuple[str, str], Entry] = {(entry.item, entry.who): entry for entry in entries}
    return sorted((entry for entry in last.values() if entry.undoes is None), key=lambda entry: entry.number)


def check_entries(queue: Queue, entries: Iterable[Entry]) -> None:
    """Raise DataError for an entry of another queue."""
    for entry in entries:
        if entry.shown.queue != queue.digest or entry.item not in queue.items:
            raise DataError(
                f"{shown(queue.journal, LONGEST)}: line {entry.number + 1} was decided on another queue; put the "
                "journal beside the queue.json and items.parquet that it was made with"
            )
