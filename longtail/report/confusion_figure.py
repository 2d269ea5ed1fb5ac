"""The confusion matrix: colour is the share of the true class, numbers are counts."""

from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from longtail.report.content import TaskReport
from longtail.report.figures import Picture, label_inches, picture
from longtail.report.names import short
from longtail.report.titles import row_title

# Up to this many classes a cell has room for its count.
MOST_WITH_COUNTS = 20


def confusion(task: TaskReport) -> Picture:
    """Rows are true classes, columns predicted ones; a row without test images is grey."""
    counts = np.array(task.main.metrics.confusion)
    inside = np.array([name != task.background for name in task.classes])
    predicted = inside | (counts.sum(0) > 0)  # the background class is a column only where it was predicted
    counts = counts[inside][:, predicted]
    labels = [short(name, 20) for name in task.classes]
    figure, axes, bar = _canvas(labels, counts.shape)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    share = np.ma.masked_where(np.broadcast_to(counts.sum(1, keepdims=True) == 0, share.shape), share)
    colours = mpl.colormaps["Blues"].with_extremes(bad="#e5e7eb")
    mesh = axes.pcolormesh(share, vmin=0, vmax=1, cmap=colours, edgecolors="white", linewidth=0.5)
    if max(counts.shape) <= MOST_WITH_COUNTS:
        _write_counts(axes, counts, share)
    true = [label for label, kept in zip(labels, inside, strict=True) if kept]
    _ticks(axes, true, [label for label, kept in zip(labels, predicted, strict=True) if kept], _cell(counts.shape))
    figure.colorbar(mesh, cax=bar, format=PercentFormatter(1, decimals=0))
    bar.set_ylabel("share of the true class")
    return picture(figure, f"Confusion matrix of {row_title(task.main, task)} on {task.name}")


def _canvas(labels: list[str], shape: tuple[int, ...]) -> tuple[Figure, Axes, Axes]:
    cell = _cell(shape)
    margin = label_inches(labels) + 0.45
    width, height = cell * shape[1] + margin + 1.0, cell * shape[0] + margin + 0.15
    figure = Figure(figsize=(width, height))
    box = (margin / width, margin / height, cell * shape[1] / width, cell * shape[0] / height)
    bar = (box[0] + box[2] + 0.2 / width, box[1], 0.16 / width, box[3])
    return figure, figure.add_axes(box), figure.add_axes(bar)


def _cell(shape: tuple[int, ...]) -> float:
    """The side of a cell in inches: room for counts, or at least for names of 9 points on both axes."""
    K = max(shape)
    return min(0.8, max(0.38, 7 / K)) if K <= MOST_WITH_COUNTS else max(0.2, 8.6 / K)


def _ticks(axes: Axes, true: list[str], predicted: list[str], cell: float) -> None:
    axes.grid(visible=False)
    axes.invert_yaxis()
    axes.tick_params(length=0, pad=4)
    axes.set_yticks(np.arange(len(true)) + 0.5, true)
    axes.set_xticks(np.arange(len(predicted)) + 0.5, predicted)
    if label_inches(predicted) > 0.9 * cell:
        # "anchor" hangs a name by its end: right also where the reader's font is wider than the one measured here.
        for label in axes.get_xticklabels():
            label.set(rotation=90, rotation_mode="anchor", horizontalalignment="right", verticalalignment="center")
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    for side in axes.spines.values():
        side.set_visible(False)


def _write_counts(axes: Axes, counts: npt.NDArray[Any], share: npt.NDArray[Any]) -> None:
    width = label_inches([str(counts.max())], size=1)  # of the longest number at one point
    size = max(6, min(10, 0.85 * _cell(counts.shape) / width))
    for i, j in zip(*np.nonzero(counts), strict=True):
        colour = "white" if share[i, j] > 0.55 else "#1e293b"
        axes.text(j + 0.5, i + 0.5, str(counts[i, j]), ha="center", va="center", color=colour, fontsize=size)
