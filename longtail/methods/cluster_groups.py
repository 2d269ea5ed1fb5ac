"""What the methods share whose mini-batches are groups of neighbouring clusters, as those of the Magnet loss are."""

from abc import abstractmethod

import numpy as np
import torch
from torch import Tensor

from longtail.methods.base import Floats, Ints, Setup
from longtail.methods.batch import Batch, Selection
from longtail.methods.quintuplets import QuintupletMethod
from longtail.network.network import Network
from longtail.quintuplets.table import QuintupletTable, load_centroids


class ClusterMethod(QuintupletMethod):
    """A method whose loss is that of groups of clusters. Each of the `batch` anchors of a task and step is the seed of
    a group of its own: its cluster, the clusters nearest to that one, and `samples` of each.

    Magnet draws a seed cluster by a running mean of its loss, and keeps the clusters up to date as it trains. Here a
    step is a function of its number alone: seeds are drawn as the samples of any training are, evenly over the classes
    by default, and clusters and what is near are those that the embeddings of the previous round make.
    """

    def __init__(self, setup: Setup, clusters: int, samples: int, kin: int = 0) -> None:
        """`clusters`: of a group; `kin` of them, beside the seed's own, of the seed's class."""
        super().__init__(setup)
        assert setup.table is not None
        self._groups = {
            task: Groups(table, setup.labels[task], load_centroids(setup.table, task), clusters, samples, kin)
            for task, table in self.tables.items()
        }

    def select_for(self, task: str, positions: Ints, step: int) -> Selection:
        groups = self._groups[task]
        rng = np.random.default_rng([self.seed, step, list(self.labels).index(task)])
        clusters, members = groups.draw(positions, rng)
        weights = self.anchor_weights(task, positions, step)
        return Selection(members, {"weights": weights, "classes": groups.classes[clusters]})

    @abstractmethod
    def losses(self, points: Tensor, classes: Tensor) -> Tensor:
        """The loss (G,) of each group, from the embeddings (G, M, D, d) of D samples of M clusters, on the unit sphere,
        float32 under autocast too, and the classes (G, M) of the clusters.
        """

    def loss(self, network: Network, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        total = torch.zeros((), device=images.device)
        for task, embeddings in network.embed(images).items():
            targets = batch.targets[task]
            # Autocast would take the products in bfloat16, and near neighbours would be equally near.
            with torch.autocast(images.device.type, enabled=False):
                losses = self.losses(embeddings[batch.rows[task]], targets["classes"])
            total = total + (losses * targets["weights"]).sum()
        return {"loss": total}


class Groups:
    """The clusters of a task: their classes (C,), their members, and which are near each."""

    def __init__(
        self, table: QuintupletTable, labels: Ints, centroids: Floats, clusters: int, samples: int, kin: int
    ) -> None:
        self._table, self._samples = table, samples
        anchors, of_anchors = table.members[:, 0], table.clusters
        self.classes = np.zeros(len(centroids), np.int64)
        self.classes[of_anchors] = labels[anchors]
        sizes = np.bincount(of_anchors, minlength=len(centroids))
        self._members = np.split(anchors[np.argsort(of_anchors, kind="stable")], np.cumsum(sizes)[:-1])
        self._near = nearest_clusters(centroids, self.classes, clusters - 1, kin)

    def draw(self, seeds: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
        """The clusters (G, M) of the groups of seeds (G,), the seed's own first, and members (G, M, D) of each, the
        seed itself first.
        """
        own = self._table.clusters[self._table.rows(seeds)]
        clusters = np.concatenate([own[:, None], self._near[own]], axis=1)
        members = [self._some(self._members[cluster], self._samples, rng) for cluster in clusters.flat]
        drawn = np.array(members, np.int64).reshape(*clusters.shape, self._samples)
        for group, seed in enumerate(seeds):
            others = self._members[own[group]]
            others = others[others != seed] if len(others) > 1 else others
            drawn[group, 0] = [seed, *self._some(others, self._samples - 1, rng)]
        return clusters, drawn

    def _some(self, members: Ints, count: int, rng: np.random.Generator) -> Ints:
        """So many of them at random; where there are fewer, all, again and again."""
        return np.resize(rng.choice(members, min(count, len(members)), replace=False), count)


def nearest_clusters(centroids: Floats, classes: Ints, count: int, kin: int = 0) -> Ints:
    """For each of C clusters which others are near, (C, count): the `kin` nearest of its own class, then the nearest of
    other classes, each rising in distance. Where it has not that many the nearest of its own class make them up; of
    fewer than `count` other clusters all are taken. `centroids` (C, d): on the unit sphere.
    """
    found = []
    for cluster, centroid in enumerate(centroids):
        order = np.argsort(-(centroids @ centroid), kind="stable")
        same = classes[order] == classes[cluster]
        own, others = order[same & (order != cluster)], order[~same]
        found.append(np.concatenate([own[:kin], others, own[kin:]])[:count])
    return np.array(found, np.int64).reshape(len(centroids), min(count, len(centroids) - 1))
