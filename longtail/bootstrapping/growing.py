"""`longtail grow`: a packed data set with the images that people said yes or no to, divided as it was."""

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from longtail.artifacts.digests import check_artifact, write_digests
from longtail.artifacts.files import folders
from longtail.artifacts.lineage import GROW, Lineage, check_same_rows, extended
from longtail.artifacts.outputs import written_whole
from longtail.bootstrapping.additions import BLOCK, pixel_digest, pixel_digests, stored, takes_files, without_known
from longtail.bootstrapping.verdicts import Verdict, digest, verdicts
from longtail.data.dataset import PackedDataset, Task, rejected_column, write_dataset
from longtail.data.shards import Block, Ints
from longtail.data.splits import Split
from longtail.errors import DataError
from longtail.labelling.queue import LONGEST
from longtail.sources.quoting import listed, printable, shown


class Grown(NamedTuple):
    """How many images were added with a label, how many as hard negatives, and how many were there already."""

    accepted: int
    rejected: int
    there: int


def grow(
    dataset: Path, split: Path, queues: list[Path], files: Mapping[str, Path], output: Path, task: str | None = None
) -> Grown:
    """Write the packed data set `output`: the split's samples, whose official subsets are those of the split, and
    behind them the images of the queues with a yes, labelled, and with a no, as hard negatives; all training samples.

    `files`: by digest of its bytes the file of each image. What has the pixels of an image that is there is left out:
    it may be a test image. But a yes takes the place of the hard negative that an earlier no had made of the image.
    Raises DataError if anything stands against it, and has then written nothing.
    """
    packed, table = opened(dataset, split)
    own, how = task_of(table, task, split), takes_files(packed)
    found = verdicts(queues, own)
    rejected = _rejected(packed, table, own)
    every, rows = np.arange(len(packed)), table.samples["row"].to_numpy()
    others = np.setdiff1d(every, rows[[place for places in rejected.values() for place in places]])
    known = pixel_digests(packed, others)  # also of what the split leaves out
    added = without_known(found, known, files, how, rejected.keys() - known)
    before = [rejected[key] if key in rejected and key not in known else [] for _, key in added]
    kept = np.setdiff1d(np.arange(len(table.samples)), [place for places in before for place in places])
    new = [verdict for verdict, _ in added]
    inputs = [dataset, split, *queues, *folders(files.values())]
    with written_whole({"dataset": output}, inputs) as partial:
        write_dataset(
            partial["dataset"],
            _samples(packed, table, kept, own, new, before, files),
            chain(_stored(packed, rows[kept]), stored(new, files, how)),
            tasks=table.tasks,
            image_shape=packed.info.image_shape,
            provenance=f"{packed.info.provenance}; and {len(new)} images that people decided on",
            licence=packed.info.licence,
            preprocessing=how,
            colours=packed.info.colours,
        )
        origins = {name: Lineage.read(path) for name, path in (("dataset", dataset), ("split", split))}
        origins |= {f"queue_{number}": Lineage.read(queue) for number, queue in enumerate(queues, 1)}
        about = {"task": own.name, "verdicts": digest(found)}
        extended(GROW, about, {}, origins, Lineage.read(partial["dataset"])).write(partial["dataset"])
        write_digests(partial["dataset"])
    accepted = sum(verdict.accepted for verdict in new)
    return Grown(accepted, len(new) - accepted, len(found) - len(new))


def opened(dataset: Path, split: Path) -> tuple[PackedDataset, Split]:
    """A packed data set and its split. Raises DataError if they do not belong together, or cannot be read."""
    for path in (dataset, split):
        check_artifact(path)
    check_same_rows(GROW, {"dataset": Lineage.read(dataset), "split": Lineage.read(split)})
    return PackedDataset.open(dataset), Split.open(split)


def task_of(split: Split, name: str | None, place: Path) -> Task:
    """The task of that name, or the only one. Raises DataError if there is none."""
    names = [task.name for task in split.tasks]
    if name is None and len(names) > 1:
        raise DataError(f"{shown(place, LONGEST)} has the tasks {listed(names)}; say with --task which one grows")
    if name is not None and name not in names:
        raise DataError(f"{shown(place, LONGEST)} has no task {shown(name)!r}; it has {listed(names)}")
    return split.tasks[names.index(name) if name else 0]


def _rejected(packed: PackedDataset, split: Split, task: Task) -> dict[bytes, list[int]]:
    """By the digest of its pixels the places in the split of the hard negatives of the task."""
    rows, found = split.samples["row"].to_numpy(), dict[bytes, list[int]]()
    for place in np.flatnonzero(split.negatives(task) >= 0).tolist():
        found.setdefault(pixel_digest(packed.images(rows[[place]])[0]), []).append(place)
    return found


def _stored(packed: PackedDataset, rows: Ints) -> Iterator[Block]:
    return (packed.stored(rows[start : start + BLOCK]) for start in range(0, len(rows), BLOCK))


def _samples(
    packed: PackedDataset,
    split: Split,
    kept: Ints,
    task: Task,
    added: list[Verdict],
    before: list[list[int]],
    files: Mapping[str, Path],
) -> pd.DataFrame:
    """The samples of the split that are `kept`, official subsets and all, and those that are added, each a group of its
    own, with the name of its file as source: where that lies on a disk is nobody's business. What an added image was
    `before`, at those places, keeps what is known of it in other tasks.
    """
    old = split.samples.drop(columns="row").astype(object)
    old["source"] = packed.samples["source"].astype(object).to_numpy()[split.samples["row"].to_numpy()]
    names = [printable(files[one.item].name) for one in added]
    new = pd.DataFrame({"id": [one.item for one in added], "source": names}, dtype=object)
    new["group"], new["subset"] = new["id"], "train"
    for one in split.tasks:
        old[rejected_column(one.name)] = np.array([None, *one.classes], object)[split.negatives(one) + 1]
        for column in (one.name, rejected_column(one.name)):
            new[column] = np.array([old[column].iloc[places[0]] if places else None for places in before], object)
    new[task.name] = [one.name if one.accepted else None for one in added]
    new[rejected_column(task.name)] = [None if one.accepted else one.name for one in added]
    return pd.concat([old.iloc[kept], new.astype(object)], ignore_index=True)
