"""Decisions as CSV: one row a decision in force."""

import csv
import io
from collections.abc import Sequence

from longtail.labelling.decisions import Decided
from longtail.labelling.queue import Queue

COLUMNS = ("item", "source", "proposed", "confidence", "who", "when", "decision", "seconds", "merged")
NEEDED = {"item", "who", "when", "decision"}
# A spreadsheet would take a cell that begins so for a formula, and run it.
FORMULA = ("=", "+", "-", "@", "\t", "\r")
QUOTED = (*FORMULA, "'")  # what has a ' in front, so that reading it again gives what was written


def written_as(queue: Queue, every: Sequence[Decided]) -> str:
    """The text of the file. `merged` is what all people say of the item together."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    for one in every:
        for who, entry in one.by_person.items():
            about = (_safe(one.item.source), _safe(one.item.proposed), one.item.confidence)
            said = (_safe(who), entry.when.isoformat(), entry.decision, entry.seconds, one.merged)
            rows.writerow((one.item.item, *about, *said))
    return text.getvalue()


def read_from(text: str) -> list[dict[str, object]]:
    """The rows of a file, as `written_as` writes them. Raises ValueError if there is a column too few."""
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    if lacking := sorted(NEEDED - set(rows.fieldnames or ())):
        raise ValueError(f"it has no column {', '.join(lacking)}")
    try:
        found = list(rows)
    except csv.Error as error:
        raise ValueError(str(error)) from None
    return [
        {
            **row,
            "who": _plain(row["who"]),
            "proposed": _plain(row.get("proposed")),
            "seconds": row.get("seconds") or None,
        }
        for row in found
    ]


def _safe(cell: str) -> str:
    return f"'{cell}" if cell.startswith(QUOTED) else cell


def _plain(cell: str | None) -> str | None:
    return cell[1:] if cell and cell[0] == "'" and cell[1:].startswith(QUOTED) else cell
