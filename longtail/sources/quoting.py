"""What a message or a table quotes of somebody else's data: printable, on one line, of bounded length, no formula."""

import re
from collections.abc import Iterable

HALVES = re.compile("[\ud800-\udc7f\udd00-\udfff]")  # of surrogate pairs, but those that stand for a byte
LONGEST = 120  # characters of one quoted cell or name
MOST = 10  # names that a message lists
# A spreadsheet would take a cell that begins so for a formula, and run it.
FORMULA = ("=", "+", "-", "@", "\t", "\r")
QUOTED = (*FORMULA, "'")  # what has a ' in front, so that reading it again gives what was written


def printable(text: str) -> str:
    """The text as UTF-8 can hold it: a byte of a file name that is no UTF-8 becomes the four characters `\\xff`, half a
    character of somebody's JSON the six `\\ud800`.
    """
    halves = HALVES.sub(lambda half: rf"\u{ord(half[0]):04x}", text)
    return halves.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def shown(value: object, longest: int = LONGEST) -> str:
    """The value as one line of at most `longest` characters, the middle left out where it has more."""
    text = value if isinstance(value, str) else str(value)
    if len(text) > longest:
        half = longest // 2 - 2
        text = f"{text[:half]} … {text[-half:]}"
    text = printable(text)
    return text if text.isprintable() else "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def listed(values: Iterable[object]) -> str:
    """The first values, quoted, and how many more there are: `['a', 'b'] and 7 more`."""
    every = list(values)
    more = f" and {len(every) - MOST} more" if len(every) > MOST else ""
    return f"[{', '.join(repr(shown(one)) for one in every[:MOST])}]{more}"


def counted(number: int, one: str, many: str = "") -> str:
    """The number and its noun."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def spreadsheet_cell(text: str) -> str:
    """The text as a cell of a CSV file that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(QUOTED) else text


def from_spreadsheet_cell(cell: str | None) -> str | None:
    """The text of such a cell."""
    return cell[1:] if cell and cell[0] == "'" and cell[1:].startswith(QUOTED) else cell
