"""Whether the colours that a method compares have been counted."""

from typing import Any

from longtail.errors import DataError


def check_colours(method: Any, counted: object, where: str = "") -> None:
    """Raise DataError if a method's parameters ask for colours and none are `counted`, the histograms or the grid in
    `ingest.colours` being None; `where` comes before the sentence.
    """
    if method.needs_colours and counted is None:
        raise DataError(
            f"{where}{method.kind} compares colours, and there are no colour histograms: set `ingest.colours: 5`, or "
            "`colour: 0`"
        )
