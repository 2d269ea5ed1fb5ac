"""List files as long-tail benchmarks are published (OLTR, decoupling): a path and, after the last space, a label."""

import re
from dataclasses import dataclass

from longtail.errors import DataError
from longtail.sources.problems import Problems
from longtail.sources.quoting import shown

LABEL = re.compile(r"-?[0-9]{1,18}")


@dataclass(frozen=True)
class Line:
    """An image of a list: its path, its class code from 0, None where the list has none, and where it stands."""

    path: str
    code: int | None
    list: str
    number: int

    @property
    def place(self) -> str:
        """How a person finds the line."""
        return f"{self.list}, line {self.number}"


def read_lines(data: bytes, name: str, problems: Problems) -> list[Line]:
    """The images of a list. Blank lines are passed over; a path may have spaces.

    A list has labels or it has none: in one that has, a line without is a problem, as is a negative label. Raises
    DataError for what is no text, and for a list without a line.
    """
    lines = [_line(text, name, number) for number, text in text_lines(data, name)]
    if not lines:
        raise DataError(f"{name} lists no image; each line is a path, a space and a label")
    labelled = any(line.code is not None for line in lines)
    good = []
    for line in lines:
        if labelled and (line.code is None or line.code < 0):
            why = "no label after the last space" if line.code is None else f"the label {line.code} is negative"
            problems.add("broken row", line.place, f"{why}: {shown(line.path)}")
        else:
            good.append(line)
    return good


def read_names(data: bytes, name: str) -> list[str]:
    """The class names of a file, the first that of the code 0. Raises DataError for one that is blank."""
    names: list[str] = []
    for number, text in text_lines(data, name):
        if number != len(names) + 1:
            raise DataError(f"{name}, line {len(names) + 1}: no class name; line 1 names the label 0, and so on")
        names.append(text)
    return names


def text_lines(data: bytes, name: str) -> list[tuple[int, str]]:
    """The lines of a file in UTF-8 that are not blank, without the space around them, each with its number from 1."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError(f"{name}, line {line}: not UTF-8 text ({error.reason}); save the list as UTF-8") from error
    # Not splitlines: it takes characters for ends of lines that a file's name may have.
    numbered = enumerate(re.split(r"\r\n|\r|\n", text), 1)
    return [(number, line.strip()) for number, line in numbered if line.strip()]


def _line(text: str, name: str, number: int) -> Line:
    parts = text.rsplit(maxsplit=1)
    if len(parts) == 2 and LABEL.fullmatch(parts[1]):
        return Line(parts[0], int(parts[1]), name, number)
    return Line(text, None, name, number)
