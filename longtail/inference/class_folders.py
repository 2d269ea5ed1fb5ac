"""Images of new classes, from a folder of images for each: their pixels as a model sees them."""

import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from longtail.data.dataset import Task
from longtail.errors import DataError
from longtail.inference.batches import SHOWN
from longtail.inference.pixels import Pixels, from_file
from longtail.network.snapshot import Blueprint
from longtail.sources.classes import class_name, found_classes, look, make_task
from longtail.sources.collection import Request
from longtail.sources.decoding import BadImageError
from longtail.sources.files import Files, open_files
from longtail.sources.quoting import listed, shown

LONGEST = 240  # characters of a path or a reason in a message


class ClassImages(NamedTuple):
    """Of a class the images, uint8 N×H×W×C, and a digest of their files, whatever the files' names and order."""

    pixels: Pixels
    sha256: str


def read_classes(folder: Path, blueprint: Blueprint) -> dict[str, ClassImages]:
    """By class, in the order of their names, the images in the folder of that name and in all folders in it.

    `folder` may be a zip or a tar. Hidden files are passed over. Raises DataError if there is no class, a class has no
    image, a file lies outside of the class folders, or is no image.
    """
    if not folder.exists():
        raise DataError(f"there is no folder {shown(folder, LONGEST)}; it needs one folder of images a class")
    with TemporaryDirectory() as scratch:  # in which a compressed tar is unpacked
        return _classes_in(folder, open_files(folder, Request(blueprint.image_shape, Path(scratch))), blueprint)


def _classes_in(folder: Path, files: Files, blueprint: Blueprint) -> dict[str, ClassImages]:
    inside: dict[str, list[str]] = {name: [] for name in files.folders if "/" not in name}
    outside = [name for name in files.names if "/" not in name]
    for name in files.names if not outside else ():
        inside[name.partition("/")[0]].append(name)
    if outside or not inside:
        what = f"{len(outside)} files outside of class folders: {listed(outside)}" if outside else "no class folder"
        raise DataError(f"{shown(folder, LONGEST)} has {what}; it needs one folder of images a class, and no other")
    if empty := [name for name, images in inside.items() if not images and not files.faults]:
        raise DataError(f"{shown(folder, LONGEST)}: the class folders {listed(empty)} have no image; add some")
    return _read(files, _by_class(inside, str(folder)), blueprint)


def with_classes(task: Task, names: list[str]) -> Task:
    """The task with further classes. Raises DataError for one that it has, or that looks like one of its own."""
    if known := [name for name in names if name in task.classes]:
        raise DataError(
            f"the task {task.name!r} has the classes {listed(known)}; only new ones can be added: add all images of a "
            "class at once to the index without it, or train again"
        )
    looks = {look(name): name for name in task.classes}
    if alike := [[looks[look(name)], name] for name in names if look(name) in looks]:
        raise DataError(
            f"the classes {listed(alike[0])} differ only in case, spaces or the form of their characters; rename the "
            "new one's folder"
        )
    return make_task(task.name, [*task.classes, *names], task.background)


def _by_class(inside: dict[str, list[str]], place: str) -> dict[str, list[str]]:
    """By the name of a class the files, of all folders that have the name in one of its forms."""
    # What is no UTF-8 has been listed with its bytes as \\xff.
    if bad := [name for name in inside if "\\x" in name or not class_name(name).isprintable() or not class_name(name)]:
        raise DataError(f"{shown(place, LONGEST)}: the names {listed(bad)} are no text; name the folders after classes")
    found: dict[str, list[str]] = {name: [] for name in found_classes(map(class_name, inside), shown(place, LONGEST))}
    for folder, names in inside.items():
        found[class_name(folder)] += names
    return found


def _read(files: Files, by_class: dict[str, list[str]], blueprint: Blueprint) -> dict[str, ClassImages]:
    found = {}
    faults = [f"{shown(name, LONGEST)}: {shown(fault, LONGEST)}" for name, fault in files.faults.items()]
    for label, names in by_class.items():
        pixels, digests = [], []
        for name in names:
            try:
                content = files.read(name)
                pixels.append(from_file(content, blueprint))
                digests.append(hashlib.sha256(content).hexdigest())
            except (BadImageError, OSError) as error:
                faults.append(f"{shown(name, LONGEST)}: {shown(_reason(error), LONGEST)}")
        if not faults:
            digest = hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()
            found[label] = ClassImages(np.stack(pixels), digest)
    if faults:
        more = f", and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise DataError(
            f"{len(faults)} files in {shown(files.path, LONGEST)} are no images that can be read: "
            f"{'; '.join(faults[:SHOWN])}{more}; remove or replace them"
        )
    return found


def _reason(error: BadImageError | OSError) -> str:
    return f"{error.reason}: {error.detail}" if isinstance(error, BadImageError) else error.strerror or str(error)
