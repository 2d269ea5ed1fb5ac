"""How fine the classes of a task are to the models that are judged on it."""

import numpy as np

from longtail.data.dataset import PackedDataset, Task
from longtail.data.members import members
from longtail.data.splits import Split
from longtail.granularity.distance import euclidean
from longtail.granularity.granularity import granularity_of
from longtail.problems.classification import Judged, labels
from longtail.problems.explanation import drawn
from longtail.report.data_quality import Fineness, PairPictures

PAIRS = 6
OF_CLASS = 2_000  # samples of a class, whose medoid takes their square in distances


def fineness(task: Task, models: list[Judged], split: Split, packed: PackedDataset) -> Fineness | None:
    """The granularity of the test samples in each model's embedding, with the finest pairs of the first model's; None
    where the test samples have nothing to compare. Of a class with more than OF_CLASS those are drawn at random.
    """
    codes = labels(task, split)
    kept = np.concatenate([np.flatnonzero(codes < 0), *(drawn(own, OF_CLASS, 0) for own in members(codes).values())])
    kept.sort()
    test, codes = split.positions("test")[kept], codes[kept]
    found = {
        model.name: granularity_of(euclidean(model.embeddings[test]), codes, task.classes, exact=False, pairs=PAIRS)
        for model in models
    }
    known = {name: granularity for name, granularity in found.items() if granularity is not None}
    if not known:
        return None
    rows = split.samples["row"].to_numpy()[test]
    pairs = [
        PairPictures(
            pair.classes,
            pair.rankm,
            list(packed.images(rows[list(pair.medoids)])),
            list(packed.images(rows[list(pair.between)])),
        )
        for pair in next(iter(known.values())).pairs
    ]
    return Fineness(known, pairs)
