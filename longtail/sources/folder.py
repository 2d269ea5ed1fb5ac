"""Class folders, as torchvision's ImageFolder reads them, in folders of official subsets or not."""

from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import Field

from longtail.data.preprocessing import Fit
from longtail.errors import DataError
from longtail.sources.classes import ClassName, class_name, found_classes, make_task, without_empty_classes
from longtail.sources.collection import Collection, Request, Source
from longtail.sources.files import Files, has_image_suffix, is_note, matches, open_files
from longtail.sources.problems import Problems
from longtail.sources.quoting import shown
from longtail.sources.spool import blocks, spool_files
from longtail.sources.subsets import Layout, layout, subset_named


class Folder(Source):
    """A directory, zip or tar at `path` (relative to the data), or a folder inside one, with one folder a class.

    One folder around everything is seen through. Where folders are named after train or test, the class folders are
    inside those. Every image is its own group. Every file in a class folder has to be an image, and no image may lie
    elsewhere; but files that match a pattern of `ignore` are passed over, and always texts, tables and hidden files.
    """

    kind: Literal["folder"]
    path: str = "."
    task: str = Field("label", description="name of the task")
    classes: list[ClassName] | None = Field(
        None, description="in their order; null: the folders, sorted, numbers as numbers"
    )
    background: ClassName | None = Field(None, description="the class that counts in no metric; null: none")
    ignore: list[str] = Field(default_factory=list)
    fit: Fit = "stretch"
    licence: str = Field("not stated", description="of the images; the report and MLflow show it")

    def load(self, root: Path, request: Request) -> Collection:
        """See `Source.load`."""
        files = _unwrapped(open_files(root / self.path, request), self.classes or ())
        files.report_faults(request.problems, self.ignore)
        where = layout(files, self.classes or ())
        classes = self.classes if self.classes is not None else self._found(files, where)
        task = make_task(self.task, classes, self.background)
        samples = self._samples(files, where, set(classes), request.problems)
        names = samples["source"].tolist()
        pixels, good = spool_files(files, names, [f"{files.path}/{name}" for name in names], request, self.fit)
        samples = samples[good]
        task = without_empty_classes(samples, task, str(files.path), request.problems)
        provenance = f"class folders of {shown(files.path.name)}"
        return Collection(samples, [task], blocks(pixels, good), provenance, self.licence, fit=self.fit)

    def _found(self, files: Files, where: Layout) -> list[str]:
        folders = [folder for folder in files.folders if not matches(f"{folder}/", self.ignore)]
        found = {where.place(folder.split("/"))[1] for folder in folders} - {None}
        if not found:
            raise DataError(f"{files.path} has no class folder; it needs one folder of images a class")
        return found_classes({class_name(str(folder)) for folder in found}, str(files.path))

    def _samples(self, files: Files, where: Layout, classes: set[str], problems: Problems) -> pd.DataFrame:
        rows = []
        for name in files.names:
            if is_note(name) or matches(name, self.ignore):
                continue
            folders = name.split("/")[:-1]
            subset, folder = where.place(folders)
            if folder is None:
                if has_image_suffix(name):
                    _report_outside(problems, files, name)
            elif (label := class_name(folder)) in classes:
                rows.append((name, name, name, subset, label))
            else:
                place = f"{files.path}/{name}"
                problems.add("label outside the declared classes", place, f"class folder {shown(folder)!r}")
        return pd.DataFrame(rows, columns=["id", "source", "group", "subset", self.task], dtype=object)


def _unwrapped(files: Files, classes: tuple[str, ...] | list[str]) -> Files:
    """The files below the folders that alone hold everything; but `train` alone is an official subset."""
    while (top := files.wrapping()) and top not in classes and not subset_named(top):
        inside = files.below(top)
        if not inside.folders:
            break
        files = inside
    return files


def _report_outside(problems: Problems, files: Files, name: str) -> None:
    top, inside, _ = name.partition("/")
    what = f"{top}/*" if inside else name
    remedy = f'To pass over such images: `ignore: ["{shown(what)}"]`. To use them, move them into class folders.'
    problems.add("image outside the class folders", f"{files.path}/{name}", remedy=remedy)
