"""Figures over the classes of a task, sorted by their number of training images."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from longtail.metrics.classification import ClassMetrics, Metrics
from longtail.report.content import TaskReport
from longtail.report.figures import BLUE, GREY, ORANGE, Picture, picture, row_panels


def by_size(task: TaskReport) -> list[int]:
    """The task's class codes, most training images first."""
    train = task.counts.get("train", task.imbalance.counts)
    return sorted(range(len(task.classes)), key=lambda code: (-train[code], code))


def distribution(task: TaskReport) -> Picture:
    """Samples of each class in each subset: minority classes in orange, the background class in grey."""
    order = by_size(task)
    names = [task.classes[code] for code in order]
    colour = dict.fromkeys(task.imbalance.minority, ORANGE) | {str(task.background): GREY}
    titles = [f"{subset} ({sum(counts):,})" for subset, counts in task.counts.items()]
    figure, axes = row_panels(names, titles, row=0.24)
    for panel, counts in zip(axes, task.counts.values(), strict=True):
        values = [counts[code] for code in order]
        bars = panel.barh(range(len(order)), values, color=[colour.get(name, BLUE) for name in names], height=0.7)
        panel.bar_label(bars, [f"{value:,}" for value in values], padding=3, fontsize=8)
        panel.set_xlim(0, 1.22 * max(1, *values))  # room for the number behind the longest bar
        panel.locator_params(axis="x", nbins=4, integer=True)
        panel.set_xlabel("images")
    return picture(figure, f"Images of each class of {task.name} in each subset")


def per_class(task: TaskReport) -> Picture:
    """Training images, accuracy and F1 of each class: the leading row, and the one beside it."""
    rows = {row.name: row for row in task.main.metrics.per_class}
    names = [task.classes[code] for code in by_size(task) if task.classes[code] in rows]
    figure, axes = row_panels(names, ["training images", "accuracy (recall) of the class", "F1 of the class"], row=0.3)
    sizes = [rows[name].train_count for name in names]
    bars = axes[0].barh(range(len(names)), sizes, color=GREY, height=0.66)
    axes[0].bar_label(bars, [f"{size:,}" for size in sizes], padding=3, fontsize=8)
    axes[0].set_xlim(0, 1.25 * max(1, *sizes))
    axes[0].locator_params(axis="x", nbins=4, integer=True)
    axes[0].set_xlabel("images")
    shown = [(task.main, BLUE), *([(task.beside, ORANGE)] if task.beside else [])]
    for panel, score in zip(axes[1:], ("recall", "f1"), strict=True):
        for place, (row, colour) in enumerate(shown):
            _bars(panel, names, row.metrics, score, colour=colour, place=place, places=len(shown))
        panel.set_xlim(0, 100)
        panel.set_xticks(range(0, 101, 25))
        panel.set_xlabel("%")
    _note_absent(axes[1], [rows[name] for name in names])
    return picture(figure, f"Accuracy and F1 of each class of {task.name} against its training images")


def _bars(
    panel: Axes, names: Sequence[str], metrics: Metrics, score: str, *, colour: str, place: int, places: int
) -> None:
    rows = {row.name: row for row in metrics.per_class}
    height = 0.74 / places
    offset = (place - (places - 1) / 2) * height
    values = [100 * (getattr(rows[name], score) or 0) for name in names]
    panel.barh(np.arange(len(names)) + offset, values, color=colour, height=height)


def _note_absent(panel: Axes, rows: Sequence[ClassMetrics]) -> None:
    for y, row in enumerate(rows):
        if not row.support:
            panel.text(1, y, "no test image", va="center", fontsize=8, color="#64748b")
