"""Labels that may be wrong: labelled images whose label a model gives little probability.

Source: Northcutt, Jiang and Chuang, Confident learning, JAIR 2021: the self-confidence of a label, from scores of a
model that was not trained on the image. An index has such scores of the validation subset alone: those of training
images would take a training for each fold that leaves them out, and the test subset is left as it is.
"""

import hashlib
from pathlib import Path

import numpy as np

from longtail.inference.answerer import TaskAnswerer
from longtail.labelling.origin import Origin, scored
from longtail.labelling.pictures import png, write_pixels
from longtail.labelling.pool import Found
from longtail.labelling.queue import Counts, Item
from longtail.sources.quoting import printable


def suspects(origin: Origin, index: Path, task: TaskAnswerer, images: Path, confidence: float) -> Found:
    """The validation images that are answered by another class than their label, with a probability above
    `confidence`; proposed is the label, and an item's confidence is its self-confidence.
    """
    positions, truth, shares = scored(index, task, origin.split)
    wrong = np.flatnonzero((shares.argmax(1) != truth) & (shares.max(1) > confidence))
    samples, rows = origin.split.samples, origin.split.samples["row"].to_numpy()
    found: dict[str, Item] = {}
    for place, pixels in zip(wrong, origin.dataset.images(rows[positions[wrong]]), strict=True):
        item, source = hashlib.sha256(png(pixels)).hexdigest(), printable(str(samples["id"].iloc[positions[place]]))
        own = float(shares[place, truth[place]])
        if item not in found:
            write_pixels(pixels, images / f"{item}.jpg")
            found[item] = Item(item, source, task.task.classes[truth[place]], own)
    counts = Counts(
        looked_at=len(positions),
        duplicates=len(wrong) - len(found),
        unsure=len(positions) - len(wrong),
        items=len(found),
    )
    return Found(list(found.values()), counts)
