"""CelebA's lists as its authors give them, and as others pass them on: without the count, or as CSV with a header."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from longtail.errors import DataError
from longtail.sources.collection import Request
from longtail.sources.files import has_image_suffix, read_file
from longtail.sources.list_format import text_lines
from longtail.sources.quoting import shown

SUFFIXES = (".txt", ".csv")


@dataclass(frozen=True)
class CelebAList:
    """Rows by image name, and on which line each stands."""

    name: str
    rows: pd.DataFrame
    lines: dict[str, int]

    def place(self, image: str) -> str:
        """How a person finds an image's row."""
        return f"{self.name}, line {self.lines[image]}"

    def of(self, images: list[str]) -> pd.DataFrame:
        """The rows of those images. Raises DataError if one has none, or two."""
        if self.rows.index.has_duplicates:
            twice = self.rows.index[self.rows.index.duplicated()][0]
            raise DataError(f"{self.name} has two lines for {shown(twice)}")
        known = set(self.rows.index)
        absent = [image for image in images if image not in known]
        if absent:
            raise DataError(
                f"{self.name} has no line for {shown(absent[0])}, and for {len(absent) - 1} other images of the list"
            )
        return self.rows.loc[images]


def find_list(folder: Path, name: str, request: Request) -> CelebAList | None:
    """Read the list of that name, .txt or .csv whichever is there; None if neither is.

    Raises DataError if it is not of that form.
    """
    others = [PurePosixPath(name).with_suffix(suffix).as_posix() for suffix in SUFFIXES]
    for one in dict.fromkeys([name, *others]):
        data = read_file(folder / one, request)
        if data is not None:
            return _parsed(data, one)
    return None


def _parsed(data: bytes, name: str) -> CelebAList:
    lines = text_lines(data, name)
    comma = any("," in line for _, line in lines[:2])
    cells = [(number, line.split("," if comma else None)) for number, line in lines]
    cells = [(number, [cell.strip() for cell in row]) for number, row in cells]
    count = cells.pop(0)[1][0] if cells and len(cells[0][1]) == 1 and cells[0][1][0].isdecimal() else None
    header = cells.pop(0)[1] if cells and not has_image_suffix(cells[0][1][0]) else None
    if not cells:
        raise DataError(f"{name} lists no image")
    # A CSV names the column of images, too.
    columns = header[1:] if header and len(header) == len(cells[0][1]) else header
    width = 1 + len(columns) if columns is not None else len(cells[0][1])
    for number, row in cells:
        if len(row) != width:
            raise DataError(f"{name}, line {number}: {len(row)} cells where {width} belong")
    if count is not None and int(count) != len(cells):
        raise DataError(f"{name}: its first line says {shown(count)!r} images, and {len(cells)} follow")
    rows = pd.DataFrame(
        [row[1:] for _, row in cells], index=[row[0] for _, row in cells], columns=columns, dtype=object
    )
    return CelebAList(name, rows, {row[0]: number for number, row in reversed(cells)})
