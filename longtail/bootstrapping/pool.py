"""The pool of a bootstrapping: each of its images once, none that the data set has, divided into parts.

images.parquet   one row an image: item (SHA-256 of its bytes), file (relative to the bootstrapping's directory), part
counts.json      how many files were looked at, and why some are passed over
"""

import hashlib
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from pydantic import BaseModel

from longtail.artifacts.digests import check_artifact, write_digests
from longtail.artifacts.outputs import written_whole
from longtail.artifacts.reading import UNREADABLE, reason, write_json
from longtail.bootstrapping.additions import pixel_digest, pixel_digests, takes_files
from longtail.data.dataset import PackedDataset
from longtail.errors import DataError
from longtail.inference.files import Picture, pictures
from longtail.labelling.queue import LONGEST
from longtail.network.embedder import blueprint_for
from longtail.network.network import NetworkParams
from longtail.sources.collection import Request
from longtail.sources.files import check_there, open_files, read_regular
from longtail.sources.limits import Limits
from longtail.sources.quoting import shown

NAMED = 5  # files without an image that are named


class PoolCounts(BaseModel):
    """Of the files `looked_at`: what is no image, is in the data set already, or is there twice; the rest are
    `images`.
    """

    looked_at: int = 0
    unreadable: int = 0
    there: int = 0
    twice: int = 0
    images: int = 0


class Pool(NamedTuple):
    """By its digest the file of every image of the pool, and by part, from 0, the digests in it."""

    files: dict[str, Path]
    parts: list[list[str]]

    @classmethod
    def open(cls, path: Path, parts: int) -> "Pool":
        """That of the directory `path`. Raises DataError if it cannot be read."""
        check_artifact(path)
        try:
            table = pd.read_parquet(path / "images.parquet")
            places = [Path(os.path.normpath(path.parent / file)) for file in table["file"]]
            files = dict(zip(table["item"].tolist(), places, strict=True))
            return cls(files, [table["item"][table["part"] == part].tolist() for part in range(parts)])
        except (*UNREADABLE, KeyError) as error:
            why = shown(reason(error, "images.parquet"), LONGEST)
            raise DataError(
                f"{shown(path, LONGEST)} lists no pool: {why}; remove it, and run the same again"
            ) from error


def list_pool(paths: list[Path], packed: PackedDataset, path: Path, parts: int, seed: int) -> PoolCounts:
    """Write the directory `path`: the images of files and folders in so many parts, whose sizes differ by one at most.

    An image whose pixels the data set has, in whichever subset, is passed over: its answer is known, or is a secret of
    the test. In which part an image is hangs on its bytes and the seed alone. Raises DataError if nothing is left.
    """
    takes_files(packed)
    blueprint = blueprint_for(NetworkParams(), "pixels", packed.info.tasks, packed.info)
    counts, found = PoolCounts(), {}
    known = pixel_digests(packed, np.arange(len(packed)))
    seen: set[bytes] = set()
    for one in pictures(paths, blueprint, keep=True):
        if _is_new(one, known, seen, counts):
            found[hashlib.sha256(one.content).hexdigest()] = os.path.relpath(one.path, path.parent)
    counts.images = len(found)
    if counts.unreadable > NAMED:
        print(f"and {counts.unreadable - NAMED} more files are no images", file=sys.stderr)
    if len(found) < parts:
        raise DataError(
            f"the pool has {len(found)} images that are new, of {counts.looked_at} files, and {parts} parts were "
            "asked; give more images, or fewer parts"
        )
    order = sorted(found, key=lambda item: hashlib.sha256(f"{seed} {item}".encode()).digest())
    table = pd.DataFrame({"item": order, "file": [found[item] for item in order]})
    table["part"] = np.concatenate(
        [np.full(len(one), part) for part, one in enumerate(np.array_split(np.arange(len(order)), parts))]
    )
    with written_whole({"pool": path}, paths) as partial:
        table.to_parquet(partial["pool"] / "images.parquet", index=False)
        write_json(partial["pool"] / "counts.json", counts.model_dump())
        write_digests(partial["pool"])
    return counts


def _is_new(one: Picture, known: set[bytes], seen: set[bytes], counts: PoolCounts) -> bool:
    """Whether a picture is an image that neither the data set nor what came before in the pool has; counted."""
    counts.looked_at += 1
    fault = one.fault or (None if os.path.exists(one.path) else "its name is no text: rename it")
    if one.pixels is None or fault:
        counts.unreadable += 1
        if counts.unreadable <= NAMED:
            print(f"{shown(one.path, LONGEST)}: {fault}", file=sys.stderr)
        return False
    key = pixel_digest(one.pixels)
    counts.there += key in known
    counts.twice += key in seen and key not in known
    new = key not in known and key not in seen
    seen.add(key)
    return new


def files_by_digest(paths: Iterable[Path]) -> dict[str, Path]:
    """By the SHA-256 of its bytes every file, of paths and of all that folders hold; what cannot be read is passed
    over. Raises DataError for a path at which nothing is.
    """
    found: dict[str, Path] = {}
    for path in paths:
        check_there(path)
        names = open_files(path, Request((1, 1, 1), path)).names if path.is_dir() else [""]
        for file in (path / name for name in names):
            with suppress(OSError):  # what was decided on and cannot be read is named when it is needed
                found.setdefault(hashlib.sha256(read_regular(str(file), Limits())).hexdigest(), file)
    return found
