"""Which file a cell of a table means, and what stands in its way where none is found."""

import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath

from longtail.sources.files import Files
from longtail.sources.quoting import shown


class Lookup:
    """File names by what tables write for them: with `./`, with backslashes, with spaces around, in another Unicode
    form.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = list(names)
        self._exact = set(self._names)
        self._forms: dict[str, list[str]] | None = None

    def find(self, cell: str) -> str | None:
        """The file of that name; None if there is none, or if several could be meant."""
        if cell in self._exact:
            return cell
        if self._forms is None:
            self._forms = {}
            for name in self._names:
                self._forms.setdefault(_form(name), []).append(name)
        found = self._forms.get(_form(cell), [])
        return found[0] if cell and len(found) == 1 else None

    def hint(self, cells: Iterable[str]) -> str:
        """What the files are called that cells without a file may mean: one sentence."""
        cells = [_form(cell) for cell in cells]
        for differs, alike in (
            ("in case", str.casefold),
            ("in its ending, see `suffix`", lambda name: str(PurePosixPath(name).with_suffix("")) if name else ""),
            ("in its folder, see `images`", lambda name: PurePosixPath(name).name),
            ("in folder and ending, see `images` and `suffix`", lambda name: PurePosixPath(name).stem),
        ):
            known = {alike(_form(name)): name for name in reversed(self._names)}
            for cell in cells:
                if cell and alike(cell) in known:
                    return (
                        f"There is a file {shown(known[alike(cell)])!r}, which differs from {shown(cell)!r} {differs}."
                    )
        return f"The files are named like {shown(self._names[0])!r}." if self._names else "There is no file at all."


def around(files: Files, cells: Iterable[str]) -> Files:
    """The files as the cells name them: from here, or from inside the one folder that holds everything."""
    inside, names = files, set(cells)
    while True:
        lookup = Lookup(inside.names)
        if any(lookup.find(name) for name in names):
            return inside
        top = inside.wrapping()
        if top is None:
            return files
        inside = inside.below(top)


def _form(name: str) -> str:
    parts = unicodedata.normalize("NFC", name).replace("\\", "/").split("/")
    return "/".join(part.strip() for part in parts if part.strip() not in ("", "."))
