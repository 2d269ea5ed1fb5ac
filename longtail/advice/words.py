"""How figures and names are said."""

import textwrap

from longtail.sources.quoting import shown

NAMED = 10  # lines of one kind, at most
FEW = 3  # of so many tasks each is told at length
WIDTH = 100


def named(name: str) -> str:
    """A class or task, quoted, of bounded length."""
    return repr(shown(name, 60))


def all_named(names: list[str]) -> str:
    """The first of them, and how many more there are."""
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return f"{', '.join(map(named, names[:NAMED]))}{more}"


def points(difference: float) -> str:
    """A difference in accuracy, in [0, 1]."""
    return f"{100 * difference:.1f} points"


def percent(share: float) -> str:
    """A share in [0, 1]; what is nearly all, or nearly nothing, is not called so."""
    whole = f"{100 * share:.0f}"
    return f"{whole} %" if whole not in ("0", "100") or share in (0, 1) else f"{100 * share:.1f} %"


def wrapped(line: str) -> str:
    """A line in several, those after the first further in; a number and its % stay together."""
    indent = len(line) - len(line.lstrip()) + 2
    whole = line.replace(" %", "\N{NO-BREAK SPACE}%")
    return textwrap.fill(whole, WIDTH, subsequent_indent=indent * " ", break_long_words=False, break_on_hyphens=False)
