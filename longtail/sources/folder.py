"""Class folders, as torchvision's ImageFolder reads them; train/, validation/ and test/ are the official subsets."""

from fnmatch import fnmatch
from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import Field

from longtail.errors import DataError
from longtail.sources.classes import ClassName, make_task, ordered, without_empty_classes
from longtail.sources.collection import SUBSET_NAMES, Collection, Request, Source
from longtail.sources.decoding import Fit, blocks, has_image_suffix, spool_files
from longtail.sources.files import Files, open_files


class Folder(Source):
    """A directory, zip or tar at `path` (relative to the data) with one folder a class.

    Where there is a train/ or test/ folder, the class folders are inside those and val|valid|validation/. Every image
    is its own group. Every file in a class folder has to be an image, and no image may lie elsewhere; but files that
    match a pattern of `ignore` are passed over, and hidden ones always.
    """

    kind: Literal["folder"]
    path: str = "."
    task: str = "label"
    classes: list[ClassName] | None = None
    background: ClassName | None = None
    ignore: list[str] = Field(default_factory=list)
    fit: Fit = "stretch"
    licence: str = "not stated"

    def load(self, root: Path, request: Request) -> Collection:
        """See `Source.load`."""
        files = open_files(root / self.path, request.scratch)
        samples = self._samples(files, request)
        task = make_task(self.task, self._classes(files), self.background)
        names = samples["source"].tolist()
        pixels, good = spool_files(files, names, [f"{files.path}/{name}" for name in names], request, self.fit)
        samples = samples[good]
        task = without_empty_classes(samples, task, str(files.path), request.problems)
        provenance = f"class folders of {files.path.name}"
        return Collection(samples, [task], blocks(pixels, good), provenance, self.licence)

    def _classes(self, files: Files) -> list[str]:
        if self.classes is not None:
            return self.classes
        parts = [tuple(folder.split("/")) for folder in files.folders]
        depth = 2 if _has_subsets(files) else 1
        found = {folder[-1] for folder in parts if len(folder) == depth and (depth == 1 or folder[0] in SUBSET_NAMES)}
        if not found:
            raise DataError(f"{files.path} has no class folder; it needs one folder of images a class")
        return ordered(found)

    def _samples(self, files: Files, request: Request) -> pd.DataFrame:
        with_subsets = _has_subsets(files)
        allowed = set(self._classes(files))
        rows = []
        for name in files.names:
            if any(fnmatch(name, pattern) for pattern in self.ignore):
                continue
            *folders, _ = name.split("/")
            subset = SUBSET_NAMES.get(folders[0]) if with_subsets and folders else None
            inside = folders[1:] if with_subsets else folders
            place = f"{files.path}/{name}"
            if not inside or (with_subsets and subset is None):
                if has_image_suffix(name):
                    request.problems.add("image outside the class folders", place)
            elif inside[0] not in allowed:
                request.problems.add("label outside the declared classes", place, f"class folder {inside[0]!r}")
            else:
                rows.append((name, name, name, subset, inside[0]))
        return pd.DataFrame(rows, columns=["id", "source", "group", "subset", self.task], dtype=object)


def _has_subsets(files: Files) -> bool:
    """Whether train/ or test/ are subsets: they hold class folders. A class may be called "train" too."""
    tops = {name.split("/")[0] for name in files.names if name.count("/") >= 2}
    return bool({"train", "test"} & tops)
