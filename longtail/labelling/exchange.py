"""Decisions to files and back: CSV, one row a decision in force, and Label Studio's JSON."""

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError
from pydantic.types import AwareDatetime

from longtail.artifacts.files import written
from longtail.errors import DataError
from longtail.labelling import csv_format, label_studio
from longtail.labelling.decisions import Decided, decisions
from longtail.labelling.journal import Choice, Who
from longtail.labelling.queue import LONGEST, Queue
from longtail.labelling.session import Session
from longtail.sources.quoting import listed, shown

WRITERS: dict[str, Callable[[Queue, Sequence[Decided]], str]] = {
    ".csv": csv_format.written_as,
    ".json": label_studio.written_as,
}
READERS: dict[str, Callable[[str], list[dict[str, object]]]] = {
    ".csv": csv_format.read_from,
    ".json": label_studio.read_from,
}


class Record(BaseModel, extra="ignore", frozen=True):
    """A decision as a file has it."""

    item: str
    who: Who
    when: AwareDatetime
    decision: Choice
    seconds: float | None = Field(None, ge=0, allow_inf_nan=False)
    proposed: str | None = None


def export_decisions(queue: Path, file: Path) -> str:
    """Write the decisions in force of a queue directory, whole or not at all; a sentence. The file's ending says how.

    Raises DataError for another ending, a file in the queue, and if the queue cannot be read.
    """
    write, opened = WRITERS[_kind(file)], Queue.open(queue)
    if file.resolve().is_relative_to(queue.resolve()):
        raise DataError(f"{shown(file, LONGEST)} lies in the queue, whose files stay as they are; export elsewhere")
    every = list(decisions(queue).values())
    with written(file) as new:
        new.write_text(write(opened, every), encoding="utf-8", newline="")
    return f"{shown(file, LONGEST)}: {sum(len(one.by_person) for one in every)} decisions on {len(every)} items"


def import_decisions(queue: Path, file: Path) -> str:
    """Add a file's decisions to the journal of a queue directory, with who made them and when; a sentence.

    What the journal has already, or has something newer of from the same person on the same item, is passed over.
    Raises DataError, and has then added nothing, if the file cannot be read, or names items that the queue has not, or
    decisions on another class than the queue proposes.
    """
    records = _records(file)
    session = Session(Queue.open(queue))
    with closing(session):
        if unknown := sorted({record.item for record in records} - session.queue.items.keys()):
            raise DataError(
                f"{shown(file, LONGEST)} has {len(unknown)} items that are not in {shown(queue, LONGEST)}: "
                f"{listed(unknown)}; import it into the queue that it was exported from"
            )
        _check_proposed(records, session.queue, file)
        added = sum(
            session.take(one.who, one.item, one.decision, seconds=one.seconds, when=one.when)
            for one in sorted(records, key=lambda record: record.when)
        )
    return f"{shown(queue, LONGEST)}: {added} decisions added, {len(records) - added} were there, or newer ones"


def _check_proposed(records: Sequence[Record], queue: Queue, file: Path) -> None:
    for one in records:
        asked = queue.items[one.item].proposed
        if one.proposed is not None and one.proposed != asked:
            raise DataError(
                f"{shown(file, LONGEST)} says {one.decision} to {shown(one.proposed)!r} of {one.item[:12]}…, and "
                f"{shown(queue.path, LONGEST)} asks whether it is {shown(asked)!r}; import it into the queue that it "
                "was exported from"
            )


def _records(file: Path) -> list[Record]:
    read = READERS[_kind(file)]
    try:
        rows = read(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(f"cannot read {shown(file, LONGEST)}: {error.strerror}") from error
    except (RecursionError, ValueError) as error:
        raise DataError(f"{shown(file, LONGEST)} holds no decisions: {shown(error, LONGEST)}") from error
    records = []
    for place, row in enumerate(rows):
        try:
            records.append(Record.model_validate(row))
        except ValidationError as error:
            first = error.errors()[0]
            raise DataError(
                f"{shown(file, LONGEST)}: decision {place + 1} has a wrong {'.'.join(map(str, first['loc']))}: "
                f"{shown(first['input'])!r}: {first['msg']}"
            ) from None
    return records


def _kind(file: Path) -> str:
    ending = file.suffix.lower()
    if ending not in WRITERS:
        raise DataError(f"{shown(file, LONGEST)} ends neither in .csv nor in .json; name a file that does")
    return ending
