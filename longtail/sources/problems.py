"""Everything that is wrong with the input, collected so that the user sees every kind of it at once."""

import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from longtail.errors import DataError
from longtail.sources.quoting import shown

OnError = Literal["fail", "skip"]
LISTED = 20
LONGEST_PART = 240  # characters: paths and reasons are longer than cells

logger = logging.getLogger(__name__)


@dataclass
class Problems:
    """Collects problems of the input; `on_error` decides what becomes of them.

    Of each reason the first `LISTED` are kept in words, the rest as a number.
    """

    on_error: OnError = "skip"
    left_out: Counter[str] = field(default_factory=Counter)
    lines: dict[str, list[str]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    remedies: dict[str, str] = field(default_factory=dict)

    def add(self, reason: str, place: str, detail: str = "", remedy: str = "") -> None:
        """Report that what is at `place` (a file and, in a table, its row) is left out, and why.

        `remedy` is what the user can do; the first one of a reason is shown.
        """
        lines = self.lines.setdefault(reason, [])
        if len(lines) < LISTED:
            why = f" ({shown(detail, LONGEST_PART)})" if detail else ""
            lines.append(f"{shown(place, LONGEST_PART)}: {reason}{why}")
        if remedy:
            self.remedies.setdefault(reason, remedy)
        self.counts[reason] += 1
        self.left_out[reason] += 1

    def drop(self, reason: str, count: int) -> None:
        """Count what the user asked to leave out: no problem, but part of the result."""
        if count:
            self.left_out[reason] += count

    @property
    def found(self) -> list[str]:
        """The problems in words, by reason, as many as are kept."""
        return [line for lines in self.lines.values() for line in lines]

    def stop_before_decoding(self) -> None:
        """Raise DataError if a problem is known that ends the run: decoding may take hours."""
        self._fail("No image has been decoded yet. ")

    def stop(self) -> None:
        """Raise DataError if a problem is known that ends the run."""
        self._fail("")

    def settle(self) -> None:
        """Raise DataError with the first problems of every reason ("fail"), or warn of them ("skip")."""
        self._fail("")
        if self.counts:
            logger.warning("left out because of %d problem(s) in the input:\n%s", self.counts.total(), self._listing())

    def scalars(self) -> dict[str, float]:
        """The counts left out, one scalar a reason: `left_out_broken_image` and so on."""
        return {f"left_out_{reason.replace(' ', '_')}": float(n) for reason, n in sorted(self.left_out.items())}

    def _fail(self, note: str) -> None:
        if self.counts and self.on_error == "fail":
            raise DataError(
                f"{self.counts.total()} problem(s) in the input:\n{self._listing()}\n"
                f"{note}Mend them, or set `on_error: skip` to leave them out and count them."
            )

    def _listing(self) -> str:
        """At most `LISTED` problems, shared out over the reasons, so that none is hidden behind the others."""
        listing = []
        share = _shares({reason: len(lines) for reason, lines in self.lines.items()})
        for reason, lines in self.lines.items():
            listing += lines[: share[reason]]
            if more := self.counts[reason] - share[reason]:
                listing.append(f"… and {more} more: {reason}")
            if remedy := self.remedies.get(reason):
                listing.append(f"→ {remedy}")
        return "\n".join(f"  {line}" for line in listing)


def _shares(counts: dict[str, int]) -> dict[str, int]:
    """How many of each are listed, the rarest first, so that what a rare reason does not need goes to the others."""
    shares, left = {}, LISTED
    for position, reason in enumerate(sorted(counts, key=lambda reason: counts[reason])):
        shares[reason] = min(counts[reason], max(1, left // (len(counts) - position)))
        left -= shares[reason]
    return shares
