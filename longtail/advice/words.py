"""How figures and names are said."""

from collections.abc import Sized

from longtail.sources.quoting import shown

NAMED = 10  # lines of one kind, at most


def counted(number: int, one: str, many: str = "") -> str:
    """The number and its noun."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def named(name: str) -> str:
    """A class or task, quoted, of bounded length."""
    return repr(shown(name, 60))


def points(difference: float) -> str:
    """A difference in accuracy, in [0, 1]."""
    return f"{100 * difference:.1f} points"


def most_of(values: Sized) -> int:
    """How many of them are told."""
    return min(len(values), NAMED)
