"""Figures over the classes of a task, or over groups of many, sorted by their number of training images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from longtail.metrics.classification import Metrics
from longtail.report.content import TaskReport
from longtail.report.figures import BLUE, GREY, ORANGE, Picture, picture, row_panels
from longtail.report.limits import GROUPS, MANY_CLASSES


@dataclass(frozen=True)
class ClassGroup:
    """Classes that share a row: their codes, and what stands on the axis."""

    codes: list[int]
    label: str


def class_groups(task: TaskReport, codes: Sequence[int]) -> list[ClassGroup]:
    """Each class alone, or of many classes groups of equal number, in the order of the codes."""
    if len(task.classes) <= MANY_CLASSES:
        return [ClassGroup([code], task.classes[code]) for code in codes]
    groups, first = [], 1
    for part in np.array_split(np.asarray(codes), GROUPS):
        groups.append(ClassGroup(part.tolist(), f"classes {first:,}–{first + len(part) - 1:,}"))
        first += len(part)
    return groups


def distribution(task: TaskReport) -> Picture:
    """Samples of each class in each subset: minority classes in orange, the background class in grey."""
    groups = class_groups(task, task.by_size)
    minority = set(task.imbalance.minority)
    colours = [_colour(group, task, minority) for group in groups]
    titles = [f"{subset} ({sum(counts):,})" for subset, counts in task.counts.items()]
    figure, axes = row_panels([group.label for group in groups], titles, row=0.24)
    for panel, counts in zip(axes, task.counts.values(), strict=True):
        values = [sum(counts[code] for code in group.codes) for group in groups]
        bars = panel.barh(range(len(groups)), values, color=colours, height=0.7)
        panel.bar_label(bars, [f"{value:,}" for value in values], padding=3, fontsize=8)
        panel.set_xlim(0, 1.22 * max(1, *values))  # room for the number behind the longest bar
        panel.locator_params(axis="x", nbins=4, integer=True)
        panel.set_xlabel("images")
    return picture(figure, f"Images of each class of {task.name} in each subset")


def _colour(group: ClassGroup, task: TaskReport, minority: set[str]) -> str:
    names = {task.classes[code] for code in group.codes}
    return GREY if names == {task.background} else ORANGE if names <= minority else BLUE


def per_class(task: TaskReport) -> Picture:
    """Training images, accuracy and F1 of each class: the leading row, and the one beside it."""
    rows = {row.name: row for row in task.main.metrics.per_class}
    groups = class_groups(task, [code for code in task.by_size if task.classes[code] in rows])
    names = [[task.classes[code] for code in group.codes] for group in groups]
    sizes = [float(np.mean([rows[name].train_count for name in of])) for of in names]
    titles = ["training images", "accuracy (recall) of the class", "F1 of the class"]
    if len(task.classes) > MANY_CLASSES:
        titles = ["training images, mean", "accuracy (recall), mean", "F1, mean"]
    figure, axes = row_panels([group.label for group in groups], titles, row=0.3)
    bars = axes[0].barh(range(len(groups)), sizes, color=GREY, height=0.66)
    axes[0].bar_label(bars, [f"{size:,.0f}" if size >= 10 else f"{size:.3g}" for size in sizes], padding=3, fontsize=8)
    axes[0].set_xlim(0, 1.25 * max(1, *sizes))
    axes[0].locator_params(axis="x", nbins=4, integer=True)
    axes[0].set_xlabel("images")
    shown = [(task.main, BLUE), *([(task.beside, ORANGE)] if task.beside else [])]
    for panel, score in zip(axes[1:], ("recall", "f1"), strict=True):
        for place, (row, colour) in enumerate(shown):
            _bars(panel, _means(names, row.metrics, score), colour=colour, place=place, places=len(shown))
        panel.set_xlim(0, 100)
        panel.set_xticks(range(0, 101, 25))
        panel.set_xlabel("%")
    _note_absent(axes[1], [sum(rows[name].support for name in of) for of in names])
    return picture(figure, f"Accuracy and F1 of each class of {task.name} against its training images")


def _means(names: Sequence[Sequence[str]], metrics: Metrics, score: str) -> list[float]:
    """The mean score of each group over its classes that are tested; 0 where none is."""
    values = {row.name: getattr(row, score) for row in metrics.per_class}
    known = [[values[name] for name in of if values[name] is not None] for of in names]
    return [sum(of) / len(of) if of else 0.0 for of in known]


def _bars(panel: Axes, values: Sequence[float], *, colour: str, place: int, places: int) -> None:
    height = 0.74 / places
    offset = (place - (places - 1) / 2) * height
    panel.barh(np.arange(len(values)) + offset, 100 * np.asarray(values), color=colour, height=height)


def _note_absent(panel: Axes, supports: Sequence[int]) -> None:
    for y, support in enumerate(supports):
        if not support:
            panel.text(1, y, "no test image", va="center", fontsize=8, color="#64748b")
