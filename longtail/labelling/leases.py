"""Who has which item before them: an item is lent to one person for a while, or to two if two are to see it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from longtail.labelling.queue import Item

SECONDS = 300.0  # of a lease, from the last sign of its person


@dataclass
class Leases:
    """Of the items that are asked for, in their order, who has decided them and who has them now, until when.

    `given`: how many of the decisions that are asked for there are.
    `now` is in seconds, and never goes back. Nothing of this is on disk: after a restart an item is lent anew.
    """

    items: Iterable[Item]
    seconds: float = SECONDS
    given: int = field(init=False, default=0)
    _wanted: dict[str, int] = field(init=False)
    _open: dict[str, None] = field(init=False)
    _decided: dict[str, set[str]] = field(init=False)
    _lent: dict[str, dict[str, float]] = field(init=False)

    def __post_init__(self) -> None:
        self._wanted = {item.item: 1 + item.twice for item in self.items}
        self._open = dict.fromkeys(self._wanted)
        self._decided = {item: set() for item in self._wanted}
        self._lent = {}

    @property
    def asked(self) -> int:
        """How many decisions are asked for in all."""
        return sum(self._wanted.values())

    @property
    def open(self) -> int:
        """How many items are not decided as often as is asked."""
        return len(self._open)

    def lend(self, who: str, count: int, now: float) -> list[str]:
        """At most `count` items for a person, those that they have already first, and their leases anew."""
        held = (item for item, people in self._lent.items() if people.get(who, 0) > now)
        own = [item for item in held if self._is_free(item, who, now)][:count]
        for item in self._open if len(own) < count else ():
            if item not in own and self._is_free(item, who, now):
                own.append(item)
                if len(own) == count:
                    break
        for item in own:
            self._lent.setdefault(item, {})[who] = now + self.seconds
        return own

    def decided(self, who: str, item: str) -> None:
        """Note that a person decided an item: they are never asked again, and others only if it is to be seen twice."""
        self._count(item, self._decided[item] | {who})
        people = self._lent.get(item, {})
        people.pop(who, None)
        if not people:
            self._lent.pop(item, None)

    def undone(self, who: str, item: str, now: float) -> None:
        """Note that a person took their decision back: they have the item before them again, ahead of all
        others, unless somebody else has it meanwhile.
        """
        self._count(item, self._decided[item] - {who})
        if self._is_free(item, who, now):
            people = {**self._lent.pop(item, {}), who: now + self.seconds}
            self._lent = {item: people, **self._lent}

    def _count(self, item: str, people: set[str]) -> None:
        wanted = self._wanted[item]
        self.given += min(wanted, len(people)) - min(wanted, len(self._decided[item]))
        self._decided[item] = people
        if len(people) >= wanted:
            self._open.pop(item, None)
        elif item not in self._open:
            self._open = {one: None for one in self._wanted if one == item or one in self._open}

    def _is_free(self, item: str, who: str, now: float) -> bool:
        others = {one for one, until in self._lent.get(item, {}).items() if until > now and one != who}
        return who not in self._decided[item] and len(others | self._decided[item]) < self._wanted[item]
