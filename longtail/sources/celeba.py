"""CelebA in the files that its authors give: 40 binary attributes, official subsets, identities, landmarks."""

import logging
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field

from longtail.data.dataset import Task
from longtail.data.preprocessing import Fit
from longtail.errors import DataError
from longtail.sources.celeba_lists import CelebAList, find_list
from longtail.sources.classes import make_task
from longtail.sources.collection import Collection, Request, Source
from longtail.sources.decoding import decode, decode_aligned, read_bytes
from longtail.sources.files import Files, open_files, through_wrapping
from longtail.sources.problems import Problems
from longtail.sources.quoting import listed, shown
from longtail.sources.spool import blocks, spool

SUBSETS = {"0": "train", "1": "validation", "2": "test"}
WITHOUT = {
    "partition": "the split draws the subsets",
    "identities": "every image is a group of its own, so a person may stand in several subsets",
}
LABELS = {"-1": "no", "1": "yes"}
logger = logging.getLogger(__name__)
# Where the eyes, the nose and the corners of the mouth come to lie in a crop, as shares of its width and height.
TEMPLATE = np.array([[0.31, 0.37], [0.69, 0.37], [0.50, 0.57], [0.35, 0.74], [0.65, 0.74]])


class CelebA(Source):
    """CelebA: the attribute list, and beside it the partition, identities and landmarks where they are given.

    The lists may be the authors' own, or CSVs of the same names as Kaggle has them.

    Every attribute is a task with the classes no and yes. Images of one identity are a group. With `landmarks` a face
    is turned, scaled and cropped so that its eyes, nose and mouth lie alike in every image (LMLE crops to 55×47);
    without, images are resized as `fit` says.
    """

    kind: Literal["celeba"]
    path: str = Field(".", description="what holds the lists and `images`: a folder, zip or tar")
    attributes: str = Field("list_attr_celeba.txt", description="the list of attributes")
    partition: str | None = Field("list_eval_partition.txt", description="the list of official subsets; null: none")
    identities: str | None = Field(
        "identity_CelebA.txt", description="the list of identities; null: every image is its own group"
    )
    landmarks: str | None = Field(None, description="the list of landmarks, by which faces are aligned")
    images: str = Field("img_align_celeba", description="a folder, or a zip of one")
    tasks: list[str] | None = Field(None, description="attributes to keep; null: all")
    fit: Fit = "crop"
    licence: str = Field(
        "CelebA agreement: non-commercial research only", description="of the images; the report and MLflow show it"
    )

    def load(self, root: Path, request: Request) -> Collection:
        """See `Source.load`."""
        found = through_wrapping(root / self.path, request, lambda path: find_list(path, self.attributes, request))
        if found is None:
            raise DataError(f"no {self.attributes} in {root / self.path}; CelebA's lists and images lie in one folder")
        folder, table = found
        rows = _checked(table, request.problems)
        files = self._images(folder, rows.index.tolist(), request)
        files.report_faults(request.problems)
        known = set(files.names)
        for name in rows.index:
            if name not in known:
                request.problems.add("row without its file", table.place(name), f"{files.path}/{name}")
        rows = rows[rows.index.isin(known)]
        names = rows.index.tolist()
        samples = self._samples(folder, files.path.name, rows, request)
        landmarks = self._list(folder, "landmarks", request)
        points = _points(landmarks, names) if landmarks else None

        def read(i: int) -> npt.NDArray[np.uint8]:
            data = read_bytes(files.read, names[i])
            if points is None:
                return decode(data, request.image_shape, self.fit, request.deep_grey)
            return decode_aligned(data, request.image_shape, points[i], TEMPLATE, request.deep_grey)

        pixels, good = spool(read, samples["source"].tolist(), request)
        samples = samples[good]
        tasks = [task for name in self._tasks(rows) if (task := _task(name, samples, request.problems, table.name))]
        provenance = f"CelebA, {table.name}, {len(samples)} images"
        return Collection(
            samples, tasks, blocks(pixels, good), provenance, self.licence, fit=None if landmarks else self.fit
        )

    def _images(self, folder: Path, names: list[str], request: Request) -> Files:
        """The folder or archive that holds the images; where it has another name, the one with the first of them."""
        path = folder / self.images
        try:
            files = open_files(path, request)
        except DataError:
            if "images" in self.model_fields_set:
                raise
            archive = path.with_suffix(".zip")
            files = open_files(archive if archive.is_file() else folder, request)
        folders = {name.rpartition("/")[0] for name in files.names if PurePosixPath(name).name in names[:1]}
        if len(folders) > 1:
            raise DataError(
                f"{names[0]} is in several folders of {files.path}: {listed(sorted(folders))}; name `images`"
            )
        return files.below(folders.pop()) if any(folders) else files

    def _list(
        self, folder: Path, kind: Literal["partition", "identities", "landmarks"], request: Request
    ) -> CelebAList | None:
        """A list beside the attributes. One that nobody has named may be missing, which is said."""
        name = getattr(self, kind)
        table = find_list(folder, name, request) if name else None
        if name and table is None:
            if kind in self.model_fields_set:
                raise DataError(f"no {name} in {folder}; `{kind}: null` does without")
            logger.warning("no %s in %s: %s", name, folder, WITHOUT[kind])
        return table

    def _samples(self, folder: Path, images: str, rows: pd.DataFrame, request: Request) -> pd.DataFrame:
        names = rows.index.tolist()
        samples = pd.DataFrame({"id": names, "source": [f"{images}/{name}" for name in names]})
        identities = self._list(folder, "identities", request)
        samples["group"] = [f"identity {one}" for one in identities.of(names).iloc[:, 0]] if identities else names
        partition = self._list(folder, "partition", request)
        subsets = [_subset(one, partition.name) for one in partition.of(names).iloc[:, 0]] if partition else None
        samples["subset"] = subsets
        for name in self._tasks(rows):
            samples[name] = rows[name].map(LABELS).to_numpy()
        return samples

    def _tasks(self, rows: pd.DataFrame) -> list[str]:
        asked = self.tasks if self.tasks is not None else rows.columns.tolist()
        unknown = sorted(set(asked) - set(rows.columns))
        if unknown or not asked:
            raise DataError(f"{self.attributes} has no attribute {listed(unknown)}; it has {listed(rows.columns)}")
        return asked


def _checked(table: CelebAList, problems: Problems) -> pd.DataFrame:
    """The rows without a problem: each image once, every attribute −1 or 1."""
    rows = table.rows
    twice = rows.index.duplicated()
    for name in rows.index[twice]:
        problems.add("two rows for one id", table.place(name), name)
    rows = rows[~twice]
    bad = ~rows.isin(list(LABELS)).all(axis=1)
    for name, cells in rows[bad].iterrows():
        values = listed(sorted(set(cells) - set(LABELS)))
        problems.add("label outside the declared classes", table.place(str(name)), f"{values} is neither -1 nor 1")
    return rows[~bad]


def _subset(value: str, name: str) -> str:
    if value not in SUBSETS:
        raise DataError(f"{name}: {shown(value)!r} is no subset; 0 is training, 1 validation, 2 test")
    return SUBSETS[value]


def _points(landmarks: CelebAList, images: list[str]) -> npt.NDArray[np.float64]:
    """(n, 5, 2): x and y in pixels of the eyes, the nose and the corners of the mouth."""
    try:
        return landmarks.of(images).to_numpy(dtype=np.float64).reshape(len(images), 5, 2)
    except ValueError as error:
        raise DataError(
            f"{landmarks.name} does not hold five points, ten numbers, for every image ({shown(error)})"
        ) from error


def _task(name: str, samples: pd.DataFrame, problems: Problems, table: str) -> Task | None:
    """The task of an attribute; None, and a problem, for one that all images have alike: there is nothing to learn."""
    for label in LABELS.values():
        if not (samples[name] == label).any():
            problems.add("empty class", f"{table}, column {name!r}", f"no image has {name} = {label}")
            return None
    return make_task(name, list(LABELS.values()))
