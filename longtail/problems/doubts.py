"""What is doubtful of the data that a report is about: copies, labels that may be wrong, classes hard to measure."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from longtail.audit.audit import MARGIN, Audit, audited
from longtail.audit.duplicates import Copy
from longtail.audit.judged import judged
from longtail.audit.measurable import needed
from longtail.audit.suspects import Suspects
from longtail.data.dataset import PackedDataset, Task, foreground
from longtail.data.splits import Split
from longtail.granularity.distance import Ints, Points
from longtail.problems.classification import Judged
from longtail.report.content import TaskReport
from longtail.report.data_quality import Copies, CopyPictures, Doubts, SuspectPicture
from longtail.rules.probabilities import Probabilities

SHOWN = 12  # pictures of each kind
COMPARED = 200_000  # samples up to which copies are looked for, which takes their square in distances: two minutes


def suspected(index: Path, model: Judged, task: Task, split: Split) -> Suspects:
    """The validation labels that the model, answering by its own rule, denies; `index`: its directory."""
    rule, probabilities = model.rules[model.rule], Probabilities.read(index, task.name, model.rule)
    truth = split.scored_labels(task, "validation")
    return judged(rule, probabilities, model.embeddings, model.logits, truth, model.class_count)


def doubted(
    pages: list[TaskReport],
    shown: Sequence[int],
    index: Path,
    on: Callable[[Task], Judged],
    split: Split,
    packed: PackedDataset,
) -> tuple[list[TaskReport], Copies | None]:
    """The pages of all tasks, those at the places `shown` with what is doubtful of their data; and the copies, by the
    embedding of the first of them, None where samples are too many. `index`: the leading model's directory; `on` gives
    it on a task.
    """
    tasks = [split.tasks[place] for place in shown]
    suspects = {task.name: suspected(index, on(task), task, split) for task in tasks}
    codes = {task.name: foreground(split.labels(task), task) for task in tasks}
    rows = split.samples["row"].to_numpy()

    def pixels(at: Ints) -> Points:
        return packed.images(rows[at]).reshape(len(at), -1)

    lead = on(tasks[0])
    points = lead.embeddings if len(split.samples) <= COMPARED else None
    audit = audited(split.samples, codes, tasks, points, "embeddings", judged=suspects, pixels=pixels)
    doubts = {
        one.name: Doubts(one, MARGIN, needed(MARGIN), _suspects(one.suspects, one.classes, split, packed))
        for one in audit.tasks
    }
    found = None if points is None else _copies(lead.name, audit, codes, split, packed)
    return [replace(page, doubts=doubts.get(page.name)) for page in pages], found


def _suspects(found: Suspects, classes: Sequence[str], split: Split, packed: PackedDataset) -> list[SuspectPicture]:
    some = found.found[:SHOWN]
    rows, ids = split.samples["row"].to_numpy(), split.samples["id"].astype(str)
    images = packed.images(rows[np.array([one.position for one in some], np.int64)])
    return [
        SuspectPicture(ids.iloc[one.position], image, classes[one.label], classes[one.instead], one.probability)
        for one, image in zip(some, images, strict=True)
    ]


def _copies(by: str, audit: Audit, codes: dict[str, Ints], split: Split, packed: PackedDataset) -> Copies:
    conflicts = audit.conflicting
    worse = audit.across | conflicts
    chosen = sorted(audit.copies, key=lambda copy: (copy not in worse, copy.ratio))[:SHOWN]
    pictures = [_pictures(copy, copy in worse, audit, codes, split, packed) for copy in chosen]
    return Copies(by, len(audit.copies), len(audit.across), len(conflicts), pictures)


def _pictures(
    copy: Copy, worse: bool, audit: Audit, codes: dict[str, Ints], split: Split, packed: PackedDataset
) -> CopyPictures:
    pair = [copy.first, copy.second]
    first, second = (
        ", ".join(
            [
                split.subset[at],
                *(task.classes[codes[task.name][at]] for task in audit.tasks if codes[task.name][at] >= 0),
            ]
        )
        for at in pair
    )
    ids = split.samples["id"].astype(str)
    images = list(packed.images(split.samples["row"].to_numpy()[pair]))
    return CopyPictures((ids.iloc[copy.first], ids.iloc[copy.second]), images, (first, second), worse)
