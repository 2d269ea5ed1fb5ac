"""What `longtail audit` looks at, and prints: text for people, JSON for programs."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from longtail.audit.audit import Audit, TaskAudit, audited
from longtail.audit.duplicates import Copy
from longtail.audit.judged import judged
from longtail.audit.measurable import needed
from longtail.audit.suspects import Suspects
from longtail.data.dataset import Task
from longtail.data.splits import Split
from longtail.errors import DataError
from longtail.granularity.points import FEATURES, PIXELS, Images, open_images
from longtail.network.snapshot import State, read_embeddings, read_logits
from longtail.rules.base import rule_class
from longtail.rules.probabilities import Probabilities
from longtail.sources.quoting import counted, shown

ROOM = 8 * 2**30  # bytes


def look(source: Path, split: Path | None, dataset: Path | None, task: str | None) -> tuple[Images, Audit]:
    """The images of an artifact, and their audit. Raises DataError if there is nothing to look at.

    By an index only labels that its training has not seen are judged, those of validation, and copies by their pixels.
    """
    images = open_images(source, split)
    tasks = images.asked(task)
    labels = {one.name: images.labels(one) for one in tasks}
    everything = np.arange(len(images.samples))
    pixels, suspects = None, None
    _check_room(images, tasks[0])
    if images.trained and images.by == FEATURES:
        raise DataError(
            f"the features in {shown(source)} are of a backbone that was trained on these labels, which it will not "
            "doubt: audit features `after: start`, or an index"
        )
    if images.trained:
        if dataset is None or split is None:
            raise DataError(
                "a trained embedding may draw together images that are no copies: give the packed data set that they "
                "are in, as --dataset"
            )
        if not (dataset / "dataset.json").is_file():
            raise DataError(f"{shown(dataset)} is no packed data set: give what `ingest` wrote, as --dataset")
        seen = open_images(dataset, split)
        pixels, suspects = (lambda at: seen.points(tasks[0], at)), _scored(source, split, tasks)
    points = images.points(tasks[0], everything)
    return images, audited(images.samples, labels, tasks, points, images.by, judged=suspects, pixels=pixels)


def _check_room(images: Images, task: Task) -> None:
    """Raise DataError if the pixels of all images would fill the memory: they are compared as float32, held twice."""
    first = images.points(task, np.arange(min(1, len(images.samples))))
    if images.by == PIXELS and first.size * len(images.samples) * 8 > ROOM:
        raise DataError(
            f"{len(images.samples):,} images of {first.size:,} numbers are too many to be compared by their pixels: "
            "store their features with `longtail features`, and audit those"
        )


def _scored(index: Path, split: Path, tasks: Sequence[Task]) -> dict[str, Suspects]:
    """Of each task the suspects among the validation labels, by the rule that the model answers by."""
    if not (index / "rules.json").is_file():
        raise DataError(f"{shown(index)} is no index, and says no probabilities: make one with `longtail index`")
    key, table, snapshot = State.read(index).rule, Split.open(split), index / "snapshot"
    return {
        task.name: judged(
            rule_class(key).load(index / "rules", task.name),
            Probabilities.read(index, task.name, key),
            read_embeddings(snapshot, task.name),
            read_logits(snapshot, task.name),
            table.scored_labels(task, "validation"),
            len(task.classes),
        )
        for task in tasks
    }


def values(images: Images, found: Audit, margin: float) -> str:
    """JSON: everything that was found, samples by their ids."""
    return json.dumps(
        {
            "images": found.images,
            "by": found.by,
            "ratio_limit": found.limit,
            "copies": [_copy_values(images, found, copy) for copy in found.copies],
            "tasks": {one.name: _task_values(images, one, margin) for one in found.tasks},
        },
        indent=1,
    )


def _copy_values(images: Images, found: Audit, copy: Copy) -> dict[str, Any]:
    pair = [copy.first, copy.second]
    return {
        "ids": [_raw_id(images, at) for at in pair],
        "subsets": [_subset(images, at) for at in pair],
        "ratio": copy.ratio,
        "across_subsets": copy in found.across,
        "other_class_in": [task for task, copies in found.conflicts.items() if copy in copies],
    }


def _task_values(images: Images, task: TaskAudit, margin: float) -> dict[str, Any]:
    suspected = [
        {
            "id": _raw_id(images, one.position),
            "subset": _subset(images, one.position),
            "label": task.classes[one.label],
            "instead": task.classes[one.instead],
            "probability": one.probability,
        }
        for one in task.suspects.found
    ]
    labels = {"judged": task.suspects.judged, "not_judged": task.suspects.unjudged, "suspects": suspected}
    tested = [
        {"class": one.name, "test_images": one.images, "test_groups": one.groups, "margin": one.margin}
        for one in task.tested
    ]
    small = [one.name for one in task.small(margin)]
    return {"labels": labels, "margin": margin, "needed": needed(margin), "too_small": small, "tested": tested}


def text(images: Images, found: Audit, margin: float, most: int) -> str:
    """For people: copies, then of each task labels and classes."""
    parts = [f"{found.images:,} images, compared by {found.by}", *_copies(images, found, most)]
    for task in found.tasks:
        parts += ["", f"{shown(task.name)}", *_labels(images, task, most), *_tested(task, margin, most)]
    return "\n".join(parts)


def _copies(images: Images, found: Audit, most: int) -> list[str]:
    if not found.copies:
        only = "" if found.limit else " (so few images, or so many equal points, tell of equal images at most)"
        return [f"  no image of another group is a near-duplicate{only}"]
    conflicts = found.conflicting
    lines = [
        f"  {counted(len(found.copies), 'pair')} of near-duplicates in different groups: {len(found.across):,} across "
        f"subsets, {len(conflicts):,} with two classes"
    ]
    worst = sorted(found.copies, key=lambda copy: (copy not in found.across, copy not in conflicts, copy.ratio))
    for copy in worst[:most]:
        ends = " and ".join(f"{_id(images, at)} ({_about(images, found, at)})" for at in (copy.first, copy.second))
        lines.append(f"    {copy.ratio:.2f}  {ends}")
    return lines + _rest(len(worst), most)


def _about(images: Images, found: Audit, at: int) -> str:
    labels = [(task, images.labels(task)[at]) for task in images.tasks if task.name in found.conflicts]
    names = [shown(task.classes[label]) for task, label in labels if label >= 0]
    return ", ".join(filter(None, [_subset(images, at), *names]))


def _labels(images: Images, task: TaskAudit, most: int) -> list[str]:
    judged, left = task.suspects.judged, task.suspects.unjudged
    of = f"{judged:,} judged labels" + (f" ({left:,} of classes too small or too mixed to judge)" if left else "")
    lines = [f"  {len(task.suspects.found):,} of {of} may be wrong"]
    for one in task.suspects.found[:most]:
        lines.append(
            f"    {100 * one.probability:.0f} %  {_id(images, one.position)}: {shown(task.classes[one.label])}, "
            f"looks like {shown(task.classes[one.instead])}"
        )
    return lines + _rest(len(task.suspects.found), most)


def _tested(task: TaskAudit, margin: float, most: int) -> list[str]:
    if not task.tested:
        return ["  there is no test subset here, so which classes it can measure is not known: give --split"]
    small = task.small(margin)
    points = f"± {100 * margin:g} points"
    if not small:
        return [f"  the test subset tells the accuracy of every class within {points}"]
    lines = [
        f"  {len(small):,} of {counted(len(task.tested), 'class', 'classes')} have too few test images to tell their "
        f"accuracy within {points}, which takes {needed(margin):,} of different groups"
    ]
    for one in small[:most]:
        of = counted(one.images, "image") + (f" of {counted(one.groups, 'group')}" if one.groups < one.images else "")
        lines.append(f"    ± {100 * one.margin:.0f}  {shown(one.name)}: {of}, {needed(margin) - one.groups:,} more")
    return lines + _rest(len(small), most)


def _rest(count: int, most: int) -> list[str]:
    return [f"    … and {count - most:,} more"] if count > most else []


def _raw_id(images: Images, at: int) -> str:
    return str(images.samples["id"].iloc[at])


def _id(images: Images, at: int) -> str:
    return shown(_raw_id(images, at))


def _subset(images: Images, at: int) -> str | None:
    subset = images.samples["subset"].iloc[at]
    return subset if isinstance(subset, str) else None
