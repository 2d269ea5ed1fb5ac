"""The confusion matrix: colour is the share of the true class, numbers are counts; of many classes, of groups."""

from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from longtail.report.content import TaskReport
from longtail.report.figures import Picture, label_inches, picture
from longtail.report.limits import MANY_CLASSES
from longtail.report.names import short
from longtail.report.titles import row_title

# Up to this many classes a cell has room for its count.
MOST_WITH_COUNTS = 20
# A matrix of more classes than this has cells that stand for several: no screen has more points.
MOST_CELLS = 500

Counts = npt.NDArray[np.int64]


def confusion(task: TaskReport) -> Picture:
    """Rows are true classes, columns predicted ones; a row without test images is grey.

    Up to MANY_CLASSES have their names, in the task's order; more stand by their size.
    """
    true, predicted = confused_classes(task)
    if len(task.classes) > MANY_CLASSES:
        return _of_many(task, true, predicted)
    counts = _counts(task, true, predicted)
    rows, columns = ([short(task.classes[code], 20) for code in codes] for codes in (true, predicted))
    cell = _cell(counts.shape)
    figure, axes, bar = _canvas(label_inches(rows + columns), cell, counts.shape)
    image = _draw(axes, counts)
    if max(counts.shape) <= MOST_WITH_COUNTS:
        _write_counts(axes, counts)
    _ticks(axes, rows, columns, cell)
    return _finished(task, figure, bar, image)


def confused_classes(task: TaskReport) -> tuple[list[int], list[int]]:
    """The codes of the rows and of the columns: the background class is a column only where it was predicted."""
    order = range(len(task.classes)) if len(task.classes) <= MANY_CLASSES else task.by_size
    true = [code for code in order if task.classes[code] != task.background]
    ever = {predicted for _, predicted, _ in task.main.metrics.confusion}
    return true, [code for code in order if task.classes[code] != task.background or code in ever]


def _counts(task: TaskReport, true: list[int], predicted: list[int]) -> Counts:
    """The matrix, at most MOST_CELLS × MOST_CELLS: beyond it a cell counts for several neighbours in the order."""
    places = []
    for codes in (true, predicted):
        place = np.full(len(task.classes), -1)
        cells = min(len(codes), MOST_CELLS)
        place[codes] = np.arange(len(codes)) * cells // max(1, len(codes))
        places.append((place, cells))
    counts = np.zeros([cells for _, cells in places], dtype=np.int64)
    found = np.array(task.main.metrics.confusion, dtype=np.int64).reshape(-1, 3)
    (row, _), (column, _) = places
    np.add.at(counts, (row[found[:, 0]], column[found[:, 1]]), found[:, 2])
    return counts


def _share(counts: Counts) -> Any:
    """Of each row; masked where it is empty."""
    whole = np.broadcast_to(counts.sum(1, keepdims=True), counts.shape)
    return np.ma.masked_where(whole == 0, counts / np.maximum(whole, 1))


def _draw(axes: Axes, counts: Counts) -> Any:
    """The cells as one bitmap: as many of them as vectors would be, no browser draws."""
    colours = mpl.colormaps["Blues"].with_extremes(bad="#e5e7eb")
    extent = (0, counts.shape[1], counts.shape[0], 0)
    axes.grid(visible=False)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    return axes.imshow(
        _share(counts), vmin=0, vmax=1, cmap=colours, extent=extent, aspect="auto", interpolation="nearest"
    )


def _of_many(task: TaskReport, true: list[int], predicted: list[int]) -> Picture:
    figure, axes, bar = _canvas(0.4, 6.5 / MOST_CELLS, (MOST_CELLS, MOST_CELLS))
    image = _draw(axes, _counts(task, true, predicted))
    image.set_extent((0, len(predicted), len(true), 0))
    # Nearly all cells of many classes are next to 0: on the scale of the shares nothing would be seen.
    image.set_norm(mpl.colors.PowerNorm(0.4, vmin=0, vmax=1))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_xlabel("predicted class, by its number of training images: largest first")
    axes.set_ylabel("true class, likewise")
    return _finished(task, figure, bar, image)


def _finished(task: TaskReport, figure: Figure, bar: Axes, image: Any) -> Picture:
    figure.colorbar(image, cax=bar, format=PercentFormatter(1, decimals=0))
    bar.set_ylabel("share of the true class")
    return picture(figure, f"Confusion matrix of {row_title(task.main, task)} on {task.name}")


def _canvas(label: float, cell: float, shape: tuple[int, ...]) -> tuple[Figure, Axes, Axes]:
    """A figure with room for labels of so many inches, its axes, and those of the colour bar."""
    margin = label + 0.45
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
    axes.tick_params(length=0, pad=4)
    axes.set_yticks(np.arange(len(true)) + 0.5, true)
    axes.set_xticks(np.arange(len(predicted)) + 0.5, predicted)
    if label_inches(predicted) > 0.9 * cell:
        # "anchor" hangs a name by its end: right also where the reader's font is wider than the one measured here.
        for label in axes.get_xticklabels():
            label.set(rotation=90, rotation_mode="anchor", horizontalalignment="right", verticalalignment="center")


def _write_counts(axes: Axes, counts: Counts) -> None:
    width = label_inches([str(counts.max())], size=1)  # of the longest number at one point
    size = max(6, min(10, 0.85 * _cell(counts.shape) / width))
    share = _share(counts)
    axes.hlines(np.arange(1, len(counts)), 0, counts.shape[1], color="white", linewidth=1)
    axes.vlines(np.arange(1, counts.shape[1]), 0, len(counts), color="white", linewidth=1)
    for i, j in zip(*np.nonzero(counts), strict=True):
        colour = "white" if share[i, j] > 0.55 else "#1e293b"
        axes.text(j + 0.5, i + 0.5, str(counts[i, j]), ha="center", va="center", color=colour, fontsize=size)
