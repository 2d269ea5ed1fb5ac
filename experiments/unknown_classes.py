"""Classes that a training never saw: how well they are refused, and found once a few images of them are added.

    python -m experiments.unknown_classes digits_unknown --data .

The labels of some classes are taken away before anything is split or trained. Their test images are then unknown to the
model, all others known. Refused by distance: farthest from every cluster first. By softmax: the least maximum of the
head's probabilities first (Hendrycks and Gimpel, ICLR 2017), where the method trains a head.
"""

from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import typer
from sklearn.metrics import roc_auc_score

from experiments.cell import Steps
from experiments.matrix import Cell, experiment_file, read_matrix
from experiments.place import Place
from longtail.artifacts.outputs import written_whole
from longtail.data.dataset import PackedDataset, Task, write_dataset
from longtail.data.splits import Split
from longtail.errors import DataError
from longtail.execution import one_sentence
from longtail.metrics.probabilities import probabilities
from longtail.network.snapshot import read_embeddings, read_logits
from longtail.rules.base import Addition
from longtail.rules.cluster_wise import ClusterWise
from longtail.rules.familiarity import bound_of, nearest_clusters
from longtail.rules.search import mean_class_accuracy
from longtail.stages import index, ingest, split

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Row = dict[str, Any]
IMAGES = (1, 5, 20)  # of each class that are added
UNKNOWN = "0 4 9 1,7 3,8"
COPIED = ("image_shape", "provenance", "licence", "imbalance", "preprocessing", "aligned_jpeg_quality", "colours")


def without_labels(dataset: Path, unknown: list[str]) -> Path:
    """The packed data set of one task beside another, where images of these classes have no label."""
    new = dataset.with_name("-".join([dataset.name, "without", *unknown]))
    packed = PackedDataset.open(dataset)
    task = packed.info.tasks[0]
    if len(packed.info.tasks) > 1 or not set(unknown) < set(task.classes):
        raise DataError(f"{unknown} are not some of the classes {task.classes} of a single task")
    if not new.exists():
        labels = packed.samples[task.name].astype(object)
        samples = packed.samples.assign(**{task.name: labels.where(~labels.isin(unknown), None)})
        kept = Task(name=task.name, classes=[name for name in task.classes if name not in unknown])
        about = {name: getattr(packed.info, name) for name in COPIED}
        blocks = (packed.stored(rows) for rows in np.array_split(np.arange(len(packed)), len(packed) // 1024 + 1))
        with written_whole({"dataset": new}, [dataset]) as partial:
            write_dataset(partial["dataset"], samples, blocks, tasks=[kept], **about)
    return new


def trained(cell: Cell, place: Place, unknown: list[str]) -> tuple[Path, Split, Ints]:
    """The index of a cell's model that never saw these classes, its split, and of each sample of the split which of the
    classes it is of, −1 for those that are known.
    """
    steps = Steps(cell, place.steps)
    whole = steps.run(ingest, place.data)
    dataset = without_labels(whole, unknown)
    table = steps.run(split, dataset)
    model = steps.model(dataset, table)
    samples, packed = Split.open(table), PackedDataset.open(whole)
    codes = packed.labels(packed.info.tasks[0].name)[samples.samples["row"].to_numpy()]
    hidden = np.full(len(codes), -1)
    for place_of, name in enumerate(unknown):
        hidden[codes == packed.info.tasks[0].classes.index(name)] = place_of
    return steps.run(index, table, model), samples, hidden


def refusal(indexed: Path, table: Split, hidden: Ints) -> list[Row]:
    """By each score the AUROC of unknown against known test images, and the shares of both beyond a bound: that beyond
    which one in a hundred of validation's lies at most.
    """
    task = table.tasks[0]
    embeddings, logits = read_embeddings(indexed / "snapshot", task.name), read_logits(indexed / "snapshot", task.name)
    scores = {"distance": nearest_clusters(ClusterWise.load(indexed / "rules", task.name), embeddings).distance}
    if logits is not None:
        scores["softmax"] = -probabilities(logits, 1.0).max(1)
    test, rows = table.positions("test"), []
    known, unknown = test[table.labels(task)[test] >= 0], test[hidden[test] >= 0]
    for name, values in scores.items():
        bound = bound_of(values[table.scored_labels(task, "validation") >= 0])
        auroc = roc_auc_score(np.repeat([0, 1], [len(known), len(unknown)]), values[np.concatenate([known, unknown])])
        refused = {"unknown refused": (values[unknown] > bound).mean(), "known refused": (values[known] > bound).mean()}
        rows.append({"score": name, "AUROC": auroc, **refused})
    return rows


def addition(indexed: Path, table: Split, hidden: Ints, count: int, seed: int) -> Row:
    """The mean recall on test of classes of which so many training images were added, that of all others with them, and
    before; cluster-wise.
    """
    task = table.tasks[0]
    embeddings, rule = read_embeddings(indexed / "snapshot", task.name), ClusterWise.load(indexed / "rules", task.name)
    there, rng = table.positions("train"), np.random.default_rng(seed)
    codes = np.unique(hidden[hidden >= 0])
    drawn = [rng.choice(there[hidden[there] == code], count, replace=False) for code in codes]
    labels = np.where(hidden >= 0, len(task.classes) + hidden, table.labels(task))
    some = np.concatenate(drawn)
    more = Addition(embeddings[some], labels[some], len(task.classes) + len(codes), rule.clusters.mean_size)
    test = table.positions("test")
    known, new = test[hidden[test] < 0], test[hidden[test] >= 0]
    extended = rule.extended(more)

    def reached(rule: ClusterWise, which: Ints) -> float:
        return mean_class_accuracy(labels[which], rule.predict(embeddings[which], None)[0])

    found = {"new": reached(extended, new), "others": reached(extended, known), "others before": reached(rule, known)}
    return {"images": count, **found}


def tables(name: str, data: Path, unknown: list[list[str]], methods: list[str], work: Path) -> list[pd.DataFrame]:
    """Both tables, in percent: unknown classes refused, and added."""
    matrix, place = read_matrix(experiment_file(name)), Place(data.resolve(), work, f"{name}-unknown")
    cells = [cell for cell in matrix.cells() if cell.setting == matrix.last_setting and cell.method in methods]
    refused, added = [], []
    for cell, classes in product(cells, unknown):
        model = trained(cell, place, classes)
        about = {"method": cell.method, "unknown": ",".join(classes), "seed": cell.seed}
        refused += [{**about, **row} for row in refusal(*model)]
        added += [{**about, **addition(*model, count, cell.seed)} for count in IMAGES]
    return [
        100 * pd.DataFrame(rows).set_index(["method", by, "unknown", "seed"])
        for rows, by in ((refused, "score"), (added, "images"))
    ]


def main(
    name: Annotated[str, typer.Argument(help="a YAML of experiments/ on data of one task, without its ending")],
    data: Annotated[Path, typer.Option(help="directory of what the sources read")] = Path("data"),
    unknown: Annotated[str, typer.Option(help="the classes that nobody sees, of one run after the other")] = UNKNOWN,
    methods: Annotated[str, typer.Option(help="of the experiment")] = "softmax quintuplet",
    work: Annotated[Path, typer.Option(help="directory of all results")] = Path("artifacts/experiments"),
) -> None:
    """Print how well unknown classes are refused, and added: means over the seeds, and over all."""
    with one_sentence():
        choices = [choice.split(",") for choice in unknown.split()]
        for table in tables(name, data, choices, methods.split(), work):
            for levels in (3, 2):
                print(table.groupby(level=list(range(levels))).mean().round(1), end="\n\n")


if __name__ == "__main__":
    typer.run(main)
