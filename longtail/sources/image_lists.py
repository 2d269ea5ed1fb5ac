"""Lists of images with labels, one of each official subset, and the images beside them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple

import pandas as pd
from pydantic import Field

from longtail.data.preprocessing import Fit
from longtail.errors import DataError
from longtail.sources.classes import ClassName, class_name, make_task, ordered, without_empty_classes
from longtail.sources.collection import Collection, Request, Source
from longtail.sources.files import Files, open_files, read_file
from longtail.sources.list_format import Line, read_lines, read_names
from longtail.sources.lookup import Lookup, around
from longtail.sources.problems import Problems
from longtail.sources.quoting import listed, shown
from longtail.sources.spool import blocks, spool_files

BY_CODE = "Name the classes by `names: code`, or by a file with a name a line."


class _Image(NamedTuple):
    """A line whose file is there."""

    line: Line
    subset: str
    file: str

    @property
    def folder(self) -> str:
        """The name of the folder that it lies in; empty at the top."""
        return class_name(self.file.rpartition("/")[0].rpartition("/")[2])


class ImageLists(Source):
    """Text files of lines `path label`, for `train` and, as far as they are given, for `validation` and `test`.

    Paths begin in `root`: a directory, zip or tar. Labels are codes from 0, by which the classes are sorted. Their
    `names` are those of the folders that the images lie in (folder), the codes themselves (code), or the lines of a
    text file, the first that of the code 0. Where a list has no labels, an image's class is its folder's. Every image
    is its own group. The paths of `train` and so on are relative to the data, as is `root`.
    """

    kind: Literal["list"]
    root: str = "."
    train: str
    validation: str | None = None
    test: str | None = None
    names: str = Field("folder", description="folder, code, or a text file with the name of a class a line")
    task: str = Field("label", description="name of the task")
    background: ClassName | None = Field(None, description="the class that counts in no metric; null: none")
    fit: Fit = "stretch"
    licence: str = Field("not stated", description="of the images; the report and MLflow show it")

    def load(self, root: Path, request: Request) -> Collection:
        """See `Source.load`."""
        lists = self._lists()
        lines = {subset: _read(root, name, request) for subset, name in lists.items()}
        files = open_files(root / self.root, request)
        files = around(files, (line.path for of_subset in lines.values() for line in of_subset))
        images = _once(_found(lines, files, request.problems), request.problems)
        classes, labels = self._classes(root, images, request)
        task = make_task(self.task, classes, self.background)
        kept = [(image, label) for image, label in zip(images, labels, strict=True) if label is not None]
        rows = [(image.file, image.file, image.file, image.subset, label) for image, label in kept]
        samples = pd.DataFrame(rows, columns=["id", "source", "group", "subset", self.task], dtype=object)
        names = samples["source"].tolist()
        places = [f"{image.line.place}: {files.path}/{image.file}" for image, _ in kept]
        pixels, good = spool_files(files, names, places, request, self.fit)
        samples = samples[good]
        task = without_empty_classes(samples, task, self.train, request.problems)
        provenance = f"lists {', '.join(shown(Path(name).name) for name in lists.values())}, {len(samples)} images"
        return Collection(samples, [task], blocks(pixels, good), provenance, self.licence, fit=self.fit)

    def _lists(self) -> dict[str, str]:
        given = {"train": self.train, "validation": self.validation, "test": self.test}
        lists = {subset: name for subset, name in given.items() if name is not None}
        if len(set(lists.values())) < len(lists):
            raise DataError(f"one list stands for two subsets: {lists}; a sample must be in one only")
        return lists

    def _classes(self, root: Path, images: list[_Image], request: Request) -> tuple[list[str], list[str | None]]:
        """The classes in the order of their codes, and that of each image, None where it has a code without a name."""
        if self.names == "folder":
            return _by_folder(images), [image.folder for image in images]
        bare = next((image.line.list for image in images if image.line.code is None), None)
        if bare is not None:
            raise DataError(f"{bare} has no labels: only `names: folder` can tell the classes of its images")
        if self.names == "code":
            labels: list[str | None] = [str(image.line.code) for image in images]
            return ordered(str(image.line.code) for image in images), labels
        data = read_file(root / self.names, request)
        if data is None:
            raise DataError(f"no file {self.names!r} of class names in {root}")
        classes = [class_name(name) for name in read_names(data, self.names)]
        return classes, [_named(image.line, classes, self.names, request.problems) for image in images]


def _read(root: Path, name: str, request: Request) -> list[Line]:
    data = read_file(root / name, request)
    if data is None:
        raise DataError(f"no list {name!r} in {root}; `train`, `validation` and `test` name text files there")
    return read_lines(data, name, request.problems)


def _found(lines: dict[str, list[Line]], files: Files, problems: Problems) -> Iterable[_Image]:
    lookup = Lookup(files.names)
    here = f"The files there are named like {shown(files.names[0])!r}; " if files.names else "There is no file at all; "
    for subset, of_subset in lines.items():
        for line in of_subset:
            file = lookup.find(line.path)
            if file is None:
                remedy = f"{here}`root` is where the paths of the lists begin."
                problems.add("row without its file", line.place, f"{files.path}/{line.path}", remedy)
            else:
                yield _Image(line, subset, file)


def _once(images: Iterable[_Image], problems: Problems) -> list[_Image]:
    """Each image once. Raises DataError if one is in two lists: it would be trained on and tested."""
    first: dict[str, _Image] = {}
    for image in images:
        known = first.setdefault(image.file, image)
        if known.subset != image.subset:
            raise DataError(
                f"{shown(image.file)!r} is in two lists ({known.line.place}, and {image.line.place}); an image must be "
                "in one subset only: take it out of the others"
            )
        if known is not image:
            detail = f"{image.file}, first on line {known.line.number}"
            problems.add("two rows for one id", image.line.place, detail)
    return list(first.values())


def _by_folder(images: list[_Image]) -> list[str]:
    """The names of the folders by the code of each; without a code after those with one, in order.

    Raises DataError if folders and codes do not go together.
    """
    code_of: dict[str, _Image] = {}
    folder_of: dict[int, _Image] = {}
    for image in images:
        if not image.folder:
            raise DataError(f"{image.line.place}: {shown(image.file)!r} lies in no folder of a class. {BY_CODE}")
        if image.line.code is not None:
            _agree(folder_of.setdefault(image.line.code, image), image)
            _agree(code_of.setdefault(image.folder, image), image)
    without = ordered({image.folder for image in images} - set(code_of))
    return [folder_of[code].folder for code in sorted(folder_of)] + without


def _agree(one: _Image, other: _Image) -> None:
    if (one.line.code, one.folder) != (other.line.code, other.folder):
        pair = " and ".join(f"{image.line.code} ({image.line.place})" for image in (one, other))
        folders = listed(dict.fromkeys([one.folder, other.folder]))
        raise DataError(f"labels and folders do not go together: {pair} in {folders}. {BY_CODE}")


def _named(line: Line, classes: list[str], file: str, problems: Problems) -> str | None:
    assert line.code is not None
    if line.code < len(classes):
        return classes[line.code]
    problems.add("label outside the declared classes", line.place, f"label {line.code}, {len(classes)} names in {file}")
    return None
