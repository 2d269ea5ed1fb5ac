"""The map of the embedding: the same points twice, by class and by cluster."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from longtail.report.content import TaskReport
from longtail.report.explanation import EmbeddingMap
from longtail.report.figures import GREY, Picture, colours, picture, shade
from longtail.report.names import columns, short

# What a label takes of the map's extent: its height, a column of its text, and the frame around it.
HEIGHT, COLUMN, FRAME = 0.05, 0.0135, 0.025
# The names of so many classes stand on the map, cut to so many columns; of more classes the shortest names alone.
NAMED, LONGEST, SHORT = 16, 20, 3


def shown_classes(task: TaskReport) -> list[int]:
    """The class codes that the map holds, in the task's order, but for the background class (grey on the map)."""
    embedding = task.embedding
    if embedding is None:
        return []
    return [int(c) for c in np.unique(embedding.classes) if c >= 0 and task.classes[c] != task.background]


def class_colours(task: TaskReport) -> dict[int, str]:
    """The colour of each class of the map."""
    shown = shown_classes(task)
    return dict(zip(shown, colours(len(shown)), strict=True))


def class_labels(task: TaskReport) -> list[str]:
    """What stands on the classes of the map: their names where there is room for them and they can be told apart,
    else their places in the legend.
    """
    names = [short(task.classes[code], LONGEST) for code in shown_classes(task)]
    room = len(names) <= NAMED or max(map(columns, names)) <= SHORT
    if room and len(set(names)) == len(names):
        return names
    return [str(place) for place in range(1, len(names) + 1)]


def embedding_map(task: TaskReport) -> Picture | None:
    """None where fewer than two classes would be seen."""
    colour = class_colours(task)
    embedding = task.embedding
    if embedding is None or len(colour) < 2:
        return None
    figure = Figure(figsize=(11, 5.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    left.set_title("by class")
    right.set_title(f"by cluster: {len(embedding.centroid_xy)} centroids, points in shades of their cluster's class")
    _points(left, embedding.xy, [colour.get(int(c), GREY) for c in embedding.classes])
    _name_classes(left, embedding, class_labels(task), colour)
    tone = _cluster_tones(embedding, colour)
    _points(right, embedding.xy, [tone.get(int(c), "#e2e8f0") for c in embedding.clusters])
    faces = [colour.get(int(c), GREY) for c in embedding.centroid_classes]
    x, y = embedding.centroid_xy.T
    size = float(np.clip(3000 / max(1, len(x)), 14, 52))
    right.scatter(x, y, s=size, c=faces, edgecolors="black", linewidths=1.1, zorder=3)
    for panel in (left, right):
        panel.set_xticks([])
        panel.set_yticks([])
    return picture(figure, f"Map of the embedding of {task.name}, by class and by cluster")


def _points(axes: Axes, xy: npt.NDArray[Any], colour: Sequence[str]) -> None:
    # As one bitmap inside the SVG: thousands of vector points would make the page slow.
    size = float(np.clip(12000 / max(1, len(xy)), 3, 16))
    axes.scatter(xy[:, 0], xy[:, 1], s=size, c=list(colour), linewidths=0, alpha=0.75, rasterized=True)


def _cluster_tones(embedding: EmbeddingMap, colour: dict[int, str]) -> dict[int, str]:
    """A shade of its class's colour for each cluster, from dark to pale over the clusters of the class."""
    tones = {}
    for code in np.unique(embedding.centroid_classes):
        members = np.flatnonzero(embedding.centroid_classes == code)
        amounts = np.linspace(-0.45, 0.6, len(members)) if len(members) > 1 else np.zeros(1)
        for cluster, amount in zip(members, amounts, strict=True):
            tones[int(cluster)] = shade(colour.get(int(code), GREY), float(amount))
    return tones


def _name_classes(axes: Axes, embedding: EmbeddingMap, labels: Sequence[str], colour: dict[int, str]) -> None:
    places = np.array([_medoid(embedding.xy[embedding.classes == code]) for code in colour])
    box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "linewidth": 1.4}
    spread = np.ptp(embedding.xy, axis=0)
    sizes = np.array([(FRAME + COLUMN * columns(label), HEIGHT) for label in labels]) * np.where(spread, spread, 1.0)
    for label, (x, y), tone in zip(labels, pushed_apart(places, sizes), colour.values(), strict=True):
        axes.text(x, y, label, fontsize=8, ha="center", va="center", bbox=box | {"edgecolor": tone}, zorder=4)


def _medoid(xy: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The point nearest to the median: a label there stands on its class, also where the class lies in pieces."""
    nearest: npt.NDArray[Any] = xy[np.argmin(np.square(xy - np.median(xy, axis=0)).sum(1))]
    return nearest


def pushed_apart(places: npt.NDArray[Any], sizes: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """`places` (n × 2), the middles of boxes of these `sizes` (n × 2), moved until no two boxes overlap, or for 200
    steps; deterministic.
    """
    moved = np.asarray(places, dtype=np.float64).copy()
    # Equal places have no direction to move in: a tiny spiral gives them one.
    angle = np.arange(len(moved)) * 2.4
    moved += 1e-3 * sizes * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    reach = (sizes[:, None] + sizes) / 2
    for _ in range(200):
        gap = moved[:, None] - moved
        overlap = reach - np.abs(gap)
        overlap[~(overlap > 0).all(axis=2) | np.eye(len(moved), dtype=bool)] = 0
        if not overlap.any():
            break
        # Each pair along the axis in which its boxes have less to go.
        shorter = np.argmin(overlap / reach, axis=2)[:, :, None] == np.arange(2)
        moved += (np.where(gap < 0, -1, 1) * overlap * shorter / 2).sum(1)
    return moved
