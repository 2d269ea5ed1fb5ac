"""Everything that is wrong with the input, collected so that the user sees all of it at once."""

import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from longtail.errors import DataError

OnError = Literal["fail", "skip"]
LISTED = 20

logger = logging.getLogger(__name__)


@dataclass
class Problems:
    """Collects problems of the input; `settle` decides what becomes of them."""

    found: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def add(self, reason: str, place: str, detail: str = "") -> None:
        """Report that what is at `place` (a file and, in a table, its row) is left out, and why."""
        self.found.append(f"{place}: {reason}" + (f" ({detail})" if detail else ""))
        self.left_out[reason] += 1

    def drop(self, reason: str, count: int) -> None:
        """Count what the user asked to leave out: no problem, but part of the result."""
        if count:
            self.left_out[reason] += count

    def settle(self, on_error: OnError) -> None:
        """Raise DataError with the first problems ("fail"), or warn of them ("skip"); nothing if there are none."""
        if not self.found:
            return
        more = len(self.found) - LISTED
        lines = [*self.found[:LISTED], *([f"… and {more} more"] if more > 0 else [])]
        listing = "\n".join(f"  {line}" for line in lines)
        if on_error == "fail":
            raise DataError(
                f"{len(self.found)} problem(s) in the input:\n{listing}\n"
                "Mend them, or set `on_error: skip` to leave them out and count them."
            )
        logger.warning("left out because of %d problem(s) in the input:\n%s", len(self.found), listing)

    def scalars(self) -> dict[str, float]:
        """The counts left out, one scalar a reason: `left_out_broken_image` and so on."""
        return {f"left_out_{reason.replace(' ', '_')}": float(n) for reason, n in sorted(self.left_out.items())}
