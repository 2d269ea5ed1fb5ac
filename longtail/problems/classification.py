"""Classification: each sample has one class of a task. Its labels, headline score, metrics, and part of the report."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from longtail.data.dataset import SUBSETS, PackedDataset, Task
from longtail.data.splits import Split
from longtail.metrics.classification import Metrics, evaluate
from longtail.metrics.significance import Answers, Difference, paired_difference
from longtail.report.content import EmbeddingMap, KCurve, KSearch, Mistake, Row, TaskReport
from longtail.rules.base import Rule
from longtail.rules.cluster_wise import ClusterWise
from longtail.rules.clusters import Clusters
from longtail.rules.distances import squared_distances
from longtail.rules.knn import nearest, row_blocks

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

# The score by which models are chosen and compared: the mean over the classes of their recall.
HEADLINE = "mean_class_accuracy"


@dataclass(frozen=True)
class Judged:
    """A model on one task: its embeddings and logits of the split's samples, its rules, and its own rule's key."""

    name: str
    rule: str
    rules: Mapping[str, Rule]
    embeddings: Floats
    logits: Floats | None
    class_count: int

    def answers(self, positions: Ints) -> dict[str, Ints]:
        """By rule the class codes of the samples at these positions."""
        # A rule makes a score a class, which of many samples and classes nobody has memory for.
        blocks = [positions[rows] for rows in row_blocks(len(positions), self.class_count)]
        return {key: np.concatenate([self._said(rule, at) for at in blocks]) for key, rule in self.rules.items()}

    def _said(self, rule: Rule, positions: Ints) -> Ints:
        logits = None if self.logits is None else self.logits[positions]
        return rule.predict(self.embeddings[positions], logits)[0]


@dataclass(frozen=True)
class Extent:
    """How much a report shows of a task: bootstrap `resamples`, `mistakes`, and test samples on the map."""

    resamples: int
    mistakes: int
    map_points: int
    seed: int


def labels(task: Task, split: Split) -> Ints:
    """The class codes of the test samples, −1 where the label is missing or is the background class."""
    return split.scored_labels(task, "test")[split.positions("test")]


def task_report(
    task: Task, models: list[Judged], baseline: str, split: Split, packed: PackedDataset, extent: Extent
) -> tuple[TaskReport, pd.DataFrame]:
    """The task's section of the report, and what every model says of each test sample by each of its rules."""
    answers = {model.name: model.answers(split.positions("test")) for model in models}
    counts = {name: split.info.subsets[name].counts[task.name] for name in SUBSETS}
    measured = {name: measure(task, said, split, extent) for name, said in answers.items()}
    own = {model.name: answers[model.name][model.rule] for model in models}
    rows = [
        Row(
            model.name,
            rule,
            measured[model.name][rule],
            own=rule == model.rule,
            difference=_difference(task, own[model.name], own[baseline], split, extent)
            if rule == model.rule and model.name != baseline
            else None,
        )
        for model in models
        for rule in answers[model.name]
    ]
    lead = models[0]
    knn = lead.rules["cluster_wise"]
    assert isinstance(knn, ClusterWise)
    report = TaskReport(
        name=task.name,
        classes=task.classes,
        counts=counts,
        imbalance=split.info.subsets["train"].tasks[task.name],
        rows=rows,
        baseline=baseline,
        background=task.background,
        embedding=_map(lead, knn, split.labels(task), split.positions("test"), extent),
        k_search=_k_search(knn.summary()),
        mistakes=_mistakes(task, own[lead.name], lead, knn, split, packed, extent),
    )
    return report, _table(task, answers, split)


def measure(task: Task, answers: Mapping[str, Ints], split: Split, extent: Extent) -> dict[str, Metrics]:
    """The metrics of each rule's answers on the test samples."""
    test = split.positions("test")
    return {
        rule: evaluate(
            split.labels(task)[test],
            predicted,
            classes=task.classes,
            train_counts=split.info.subsets["train"].counts[task.name],
            background=task.background,
            groups=split.samples["group"].to_numpy()[test],
            resamples=extent.resamples,
            seed=extent.seed,
        )
        for rule, predicted in answers.items()
    }


def _difference(task: Task, first: Ints, second: Ints, split: Split, extent: Extent) -> Difference | None:
    """In the headline score; None where nothing is resampled, or no test sample has a label."""
    truth = labels(task, split)
    if not extent.resamples or not (truth >= 0).any():
        return None
    groups = split.samples["group"].to_numpy()[split.positions("test")].astype(np.str_)
    return paired_difference([Answers(truth, first, second, groups)], resamples=extent.resamples, seed=extent.seed)


def _table(task: Task, answers: Mapping[str, Mapping[str, Ints]], split: Split) -> pd.DataFrame:
    """A row a test sample: its id, its class, and the class by each model and rule, "<model>.<rule>"."""
    classes, test = np.array(task.classes, dtype=object), split.positions("test")
    truth = split.labels(task)[test]
    table = pd.DataFrame({"id": split.samples["id"].to_numpy()[test]})
    table["true"] = pd.Series(classes[truth]).where(truth >= 0, None)
    for model, said in answers.items():
        for rule, predicted in said.items():
            table[f"{model}.{rule}"] = classes[predicted]
    return table


def _map(model: Judged, knn: ClusterWise, codes: Ints, test: Ints, extent: Extent) -> EmbeddingMap:
    """A map of test samples and of the clusters' centroids, projected together."""
    points, centres = drawn(test, extent.map_points, extent.seed), knn.neighbours.points
    plane = project(np.concatenate([model.embeddings[points], centres]), extent.seed)
    _, clusters = nearest(centres, model.embeddings[points], 1)
    return EmbeddingMap(
        xy=plane[: len(points)],
        classes=codes[points],
        clusters=clusters[:, 0],
        centroid_xy=plane[len(points) :],
        centroid_classes=knn.clusters.classes,
        projection=f"t-SNE of {len(points)} test samples and {len(centres)} cluster centroids",
    )


def project(points: Floats, seed: int) -> npt.NDArray[np.float64]:
    """t-SNE (van der Maaten and Hinton 2008) of points (n, d) to the plane, (n, 2); neighbours stay neighbours."""
    # scikit-learn takes over a second to import, and only the map needs it.
    from sklearn.manifold import TSNE

    perplexity = min(30.0, max(1.0, (len(points) - 1) / 4))
    method = TSNE(perplexity=perplexity, init="random", random_state=seed, max_iter=500)
    projected: npt.NDArray[np.float64] = method.fit_transform(points).astype(np.float64)
    return projected


def _k_search(tried: dict[str, Any]) -> KSearch:
    curve = pd.DataFrame(tried["curve"])
    curves = [
        KCurve(str(decision), points["k"].tolist(), points["score"].tolist())
        for decision, points in curve.groupby("decision", sort=False)
    ]
    return KSearch(curves, tried["decision"], tried["k"])


def _mistakes(
    task: Task, predicted: Ints, model: Judged, knn: ClusterWise, split: Split, packed: PackedDataset, extent: Extent
) -> list[Mistake]:
    """A random sample of what the model gets wrong, each with the sample that stands for its nearest cluster."""
    truth, centres = labels(task, split), knn.neighbours.points
    wrong = drawn(np.flatnonzero((truth >= 0) & (truth != predicted)), extent.mistakes, extent.seed)
    positions = split.positions("test")[wrong]
    clusters = nearest(centres, model.embeddings[positions], 1)[1][:, 0]
    shown = representatives(model.embeddings, knn.clusters, centres)[clusters]
    rows = split.samples["row"].to_numpy()
    return [
        Mistake(
            id=str(split.samples["id"].iloc[position]),
            image=image,
            true=task.classes[truth[place]],
            predicted=task.classes[predicted[place]],
            cluster_image=cluster_image,
            cluster_class=task.classes[knn.clusters.classes[cluster]],
        )
        for place, position, image, cluster_image, cluster in zip(
            wrong, positions, packed.images(rows[positions]), packed.images(rows[shown]), clusters, strict=True
        )
    ]


def representatives(embeddings: Floats, clusters: Clusters, centres: Floats) -> Ints:
    """For each cluster the position of the sample nearest to its centroid, (m,); `centres` (m, d) are the centroids."""
    chosen = np.empty(len(centres), np.int64)
    for number, point in enumerate(centres):
        members = np.flatnonzero(clusters.assignment == number)
        chosen[number] = members[np.argmin(squared_distances(point[None], embeddings[members])[0])]
    return chosen


def drawn(positions: Ints, count: int, seed: int) -> Ints:
    """At most `count` of the positions, drawn at random, in their order."""
    if len(positions) <= count:
        return positions
    chosen: Ints = np.sort(np.random.default_rng(seed).choice(positions, count, replace=False))
    return chosen
