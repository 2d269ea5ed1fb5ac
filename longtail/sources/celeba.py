"""CelebA in the files that its authors give: 40 binary attributes, official subsets, identities, landmarks."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field

from longtail.data.dataset import Task
from longtail.errors import DataError
from longtail.sources.classes import make_task
from longtail.sources.collection import Collection, Request, Source
from longtail.sources.decoding import Fit, blocks, decode, decode_aligned, read_bytes, spool
from longtail.sources.files import Files, open_files
from longtail.sources.problems import Problems

SUBSETS = {"0": "train", "1": "validation", "2": "test"}
LABELS = {"-1": "no", "1": "yes"}
# Where the eyes, the nose and the corners of the mouth come to lie in a crop, as shares of its width and height.
TEMPLATE = np.array([[0.31, 0.37], [0.69, 0.37], [0.50, 0.57], [0.35, 0.74], [0.65, 0.74]])


class CelebA(Source):
    """CelebA: the attribute list, and beside it the partition, identities and landmarks where they are given.

    Every attribute is a task with the classes no and yes. Images of one identity are a group. With `landmarks` a face
    is turned, scaled and cropped so that its eyes, nose and mouth lie alike in every image (LMLE crops to 55×47);
    without, images are resized as `fit` says.
    """

    kind: Literal["celeba"]
    path: str = "."
    attributes: str = "list_attr_celeba.txt"
    partition: str | None = "list_eval_partition.txt"
    identities: str | None = "identity_CelebA.txt"
    landmarks: str | None = None
    images: str = Field("img_align_celeba", description="a folder, or a zip of one")
    tasks: list[str] | None = Field(None, description="attributes to keep; null: all")
    fit: Fit = "crop"
    licence: str = "CelebA agreement: non-commercial research only"

    def load(self, root: Path, request: Request) -> Collection:
        """See `Source.load`."""
        here = open_files(root / self.path, request.scratch)
        table = _read_list(here, self.attributes, header=True, unique=False)
        rows = _checked(table, request.problems)
        names = rows.index.tolist()
        archive = root / self.path / self.images
        files = open_files(archive, request.scratch) if archive.is_file() else here
        folder = _folder(files, self.images)
        known = set(folder.names)
        missing = [name for name in names if name not in known]
        for name in missing:
            request.problems.add("row without its file", table.place(name), f"{self.images}/{name}")
        names = [name for name in names if name in known]
        samples = self._samples(here, rows.loc[names], names)
        points = _landmarks(here, self.landmarks, names) if self.landmarks else None

        def read(i: int) -> npt.NDArray[np.uint8]:
            data = read_bytes(folder, names[i])
            if points is None:
                return decode(data, request.image_shape, self.fit)
            return decode_aligned(data, request.image_shape, points[i], TEMPLATE)

        pixels, good = spool(read, [f"{self.images}/{name}" for name in names], request)
        samples = samples[good]
        tasks = [task for name in self._tasks(rows) if (task := _task(name, samples, request.problems, table.name))]
        provenance = f"CelebA, {self.attributes}, {len(samples)} images"
        return Collection(samples, tasks, blocks(pixels, good), provenance, self.licence)

    def _tasks(self, rows: pd.DataFrame) -> list[str]:
        asked = self.tasks if self.tasks is not None else rows.columns.tolist()
        unknown = sorted(set(asked) - set(rows.columns))
        if unknown or not asked:
            raise DataError(f"{self.attributes} has no attribute {unknown}; it has {rows.columns.tolist()}")
        return asked

    def _samples(self, here: Files, rows: pd.DataFrame, names: list[str]) -> pd.DataFrame:
        samples = pd.DataFrame({"id": names, "source": [f"{self.images}/{name}" for name in names]})
        groups = _column(here, self.identities, names) if self.identities else names
        samples["group"] = [f"identity {one}" if self.identities else one for one in groups]
        samples["subset"] = None
        if self.partition:
            samples["subset"] = [_subset(one, self.partition) for one in _column(here, self.partition, names)]
        for name in self._tasks(rows):
            samples[name] = rows[name].map(LABELS).to_numpy()
        return samples


@dataclass(frozen=True)
class _List:
    """A list of CelebA's: rows by image name, and on which line each stands."""

    name: str
    rows: pd.DataFrame
    lines: dict[str, int]

    def place(self, image: str) -> str:
        return f"{self.name}, line {self.lines[image]}"


def _read_list(here: Files, name: str, *, header: bool, unique: bool = True) -> _List:
    """A list with one image a line. With `header` the first line is their number, the second names the columns.

    Raises DataError if it is not of that form or, where images must be `unique`, has two lines for one.
    """
    if name not in here.names:
        raise DataError(f"no {name} in {here.path}; CelebA's lists and images lie in one folder")
    try:
        lines = here.read(name).decode("ascii").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is not a list of CelebA's: it is not plain text") from error
    columns = lines[1].split() if header and len(lines) > 1 else None
    body = [(number, line.split()) for number, line in enumerate(lines, 1) if line.strip()][2 if header else 0 :]
    if not body:
        raise DataError(f"{name} lists no image")
    width = 1 + len(columns) if columns is not None else len(body[0][1])
    for number, cells in body:
        if len(cells) != width:
            raise DataError(f"{name}, line {number}: {len(cells)} cells where {width} belong")
    if header and (not lines[0].strip().isdecimal() or int(lines[0]) != len(body)):
        raise DataError(f"{name}: its first line says {lines[0].strip()!r} images, and {len(body)} follow")
    images = [cells[0] for _, cells in body]
    rows = pd.DataFrame([cells[1:] for _, cells in body], index=images, columns=columns, dtype=object)
    if unique and rows.index.has_duplicates:
        raise DataError(f"{name} has two lines for {rows.index[rows.index.duplicated()][0]}")
    return _List(name, rows, {cells[0]: number for number, cells in body})


def _checked(table: _List, problems: Problems) -> pd.DataFrame:
    """The rows without a problem: each image once, every attribute −1 or 1."""
    rows = table.rows
    twice = rows.index.duplicated()
    for name in rows.index[twice]:
        problems.add("two rows for one id", table.place(name), name)
    rows = rows[~twice]
    bad = ~rows.isin(list(LABELS)).all(axis=1)
    for name, cells in rows[bad].iterrows():
        values = sorted(set(cells) - set(LABELS))
        problems.add("label outside the declared classes", table.place(str(name)), f"{values} is neither -1 nor 1")
    return rows[~bad]


def _folder(files: Files, name: str) -> Files:
    """The images: below the folder of that name, which a zip of it has at its top."""
    folder = Path(name).stem
    return files.below(name) if name in files.folders else files.below(folder) if folder in files.folders else files


def _column(here: Files, name: str, images: list[str]) -> list[str]:
    rows = _read_list(here, name, header=False).rows
    absent = [image for image in images if image not in rows.index]
    if absent:
        raise DataError(f"{name} has no line for {absent[0]}, and for {len(absent) - 1} other images of the list")
    values: list[str] = rows.loc[images, 0].tolist()
    return values


def _subset(value: str, name: str) -> str:
    if value not in SUBSETS:
        raise DataError(f"{name}: {value!r} is no subset; 0 is training, 1 validation, 2 test")
    return SUBSETS[value]


def _landmarks(here: Files, name: str, images: list[str]) -> npt.NDArray[np.float64]:
    """(n, 5, 2): x and y in pixels of the eyes, the nose and the corners of the mouth."""
    rows = _read_list(here, name, header=True).rows
    absent = [image for image in images if image not in rows.index]
    if absent:
        raise DataError(f"{name} has no line for {absent[0]}, and for {len(absent) - 1} other images of the list")
    try:
        return rows.loc[images].to_numpy(dtype=np.float64).reshape(len(images), 5, 2)
    except ValueError as error:
        raise DataError(f"{name} does not hold five points, ten numbers, for every image ({error})") from error


def _task(name: str, samples: pd.DataFrame, problems: Problems, table: str) -> Task | None:
    """The task of an attribute; None, and a problem, for one that all images have alike: there is nothing to learn."""
    for label in LABELS.values():
        if not (samples[name] == label).any():
            problems.add("empty class", f"{table}, column {name!r}", f"no image has {name} = {label}")
            return None
    return make_task(name, list(LABELS.values()))
