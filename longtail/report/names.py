"""Names that users chose (classes, methods, tasks), made fit for a figure."""

import re
import unicodedata

# Longest name on an axis, in columns of a terminal: an East Asian character takes two.
LONGEST = 24
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def short(name: str, longest: int = LONGEST) -> str:
    """`name` on one line, without characters that XML forbids, cut with "…" to at most `longest` columns."""
    clean = printable(" ".join(name.split()))
    if columns(clean) <= longest:
        return clean
    while columns(clean) >= longest:
        clean = clean[:-1]
    return clean.rstrip() + "…"


def printable(text: str) -> str:
    """`text` with control characters and lone surrogates, which no XML or UTF-8 file can hold, as U+FFFD."""
    return UNPRINTABLE.sub("\ufffd", text)


def columns(text: str) -> int:
    """The width of `text` in columns."""
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
