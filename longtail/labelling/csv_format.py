"""Decisions as CSV: one row a decision in force."""

import csv
import io
from collections.abc import Sequence

from longtail.labelling.decisions import Decided
from longtail.labelling.queue import Queue
from longtail.sources.quoting import from_spreadsheet_cell, spreadsheet_cell

COLUMNS = ("item", "source", "proposed", "confidence", "who", "when", "decision", "seconds", "merged")
NEEDED = {"item", "who", "when", "decision"}


def written_as(queue: Queue, every: Sequence[Decided]) -> str:
    """The text of the file. `merged` is what all people say of the item together."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    for one in every:
        for who, entry in one.by_person.items():
            about = (spreadsheet_cell(one.item.source), spreadsheet_cell(one.item.proposed), one.item.confidence)
            said = (spreadsheet_cell(who), entry.when.isoformat(), entry.decision, entry.seconds, one.merged)
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
            "who": from_spreadsheet_cell(row["who"]),
            "proposed": from_spreadsheet_cell(row.get("proposed")),
            "seconds": row.get("seconds") or None,
        }
        for row in found
    ]
