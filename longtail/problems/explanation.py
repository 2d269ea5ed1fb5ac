"""What explains a model on a task: the map of its embedding, and its mistakes."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from longtail.data.dataset import PackedDataset, Task
from longtail.data.splits import Split
from longtail.problems.classification import Extent, Floats, Ints, Judged, labels
from longtail.report.content import TaskReport
from longtail.report.explanation import EmbeddingMap, Mistake
from longtail.report.limits import ON_MAP
from longtail.rules.cluster_wise import ClusterWise
from longtail.rules.clusters import Clusters
from longtail.rules.distances import squared_distances
from longtail.rules.knn import nearest


def explained(
    page: TaskReport, task: Task, model: Judged, predicted: Ints, split: Split, packed: PackedDataset, extent: Extent
) -> TaskReport:
    """The page of a task with what explains the leading model, whose own rule has `predicted` of the test samples."""
    knn = model.rules["cluster_wise"]
    assert isinstance(knn, ClusterWise)
    return replace(
        page,
        embedding=_map(page, model, knn, split.labels(task), split.positions("test"), extent),
        mistakes=_mistakes(task, predicted, model, knn, split, packed, extent),
    )


def _map(page: TaskReport, model: Judged, knn: ClusterWise, codes: Ints, test: Ints, extent: Extent) -> EmbeddingMap:
    """A map of test samples and of the clusters' centroids, projected together; of many classes, of some."""
    centres, of_centres = knn.neighbours.points, knn.clusters.classes
    shown, which = np.arange(len(centres)), ""
    if len(page.classes) > ON_MAP:
        kept = np.array(page.by_size)[np.linspace(0, len(page.classes) - 1, ON_MAP).astype(int)]
        test, shown = test[np.isin(codes[test], kept)], np.flatnonzero(np.isin(of_centres, kept))
        which = f" of {ON_MAP} of the {len(page.classes):,} classes, from the largest to the smallest"
    points, shown = (drawn(some, extent.map_points, extent.seed) for some in (test, shown))
    plane = project(np.concatenate([model.embeddings[points], centres[shown]]), extent.seed)
    _, clusters = nearest(centres, model.embeddings[points], 1)
    places = np.full(len(centres), -1)
    places[shown] = np.arange(len(shown))
    return EmbeddingMap(
        xy=plane[: len(points)],
        classes=codes[points],
        clusters=places[clusters[:, 0]],
        centroid_xy=plane[len(points) :],
        centroid_classes=of_centres[shown],
        projection=f"t-SNE of {len(points)} test samples and {len(shown)} cluster centroids{which}",
    )


def project(points: Floats, seed: int) -> npt.NDArray[np.float64]:
    """t-SNE (van der Maaten and Hinton 2008) of points (n, d) to the plane, (n, 2); neighbours stay neighbours."""
    # scikit-learn takes over a second to import, and only the map needs it.
    from sklearn.manifold import TSNE

    perplexity = min(30.0, max(1.0, (len(points) - 1) / 4))
    method = TSNE(perplexity=perplexity, init="random", random_state=seed, max_iter=500)
    projected: npt.NDArray[np.float64] = method.fit_transform(points).astype(np.float64)
    return projected


def _mistakes(
    task: Task, predicted: Ints, model: Judged, knn: ClusterWise, split: Split, packed: PackedDataset, extent: Extent
) -> list[Mistake]:
    """A random sample of what the model gets wrong, each with the sample that stands for its nearest cluster."""
    truth, centres = labels(task, split), knn.neighbours.points
    wrong = drawn(np.flatnonzero((truth >= 0) & (truth != predicted)), extent.mistakes, extent.seed)
    positions = split.positions("test")[wrong]
    clusters = nearest(centres, model.embeddings[positions], 1)[1][:, 0]
    shown = representatives(model.embeddings, knn.clusters, centres, clusters)
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


def representatives(embeddings: Floats, clusters: Clusters, centres: Floats, asked: Ints) -> Ints:
    """For each cluster that is `asked` for (n,) the position of the sample nearest to its centroid, (n,); `centres`
    (m, d) are the centroids of all.
    """
    chosen: dict[int, int] = {}
    for number in set(asked.tolist()):
        members = np.flatnonzero(clusters.assignment == number)
        distances = squared_distances(centres[number][None], embeddings[members])[0]
        chosen[number] = int(members[np.argmin(distances)])
    return np.array([chosen[number] for number in asked.tolist()], np.int64)


def drawn(positions: Ints, count: int, seed: int) -> Ints:
    """At most `count` of the positions, drawn at random, in their order."""
    if len(positions) <= count:
        return positions
    chosen: Ints = np.sort(np.random.default_rng(seed).choice(positions, count, replace=False))
    return chosen
