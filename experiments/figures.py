"""The figures of an experiment: accuracy against the setting, and the gain over the baseline by class size or task."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.results import MANY_TASKS, Results
from longtail.report.limits import GROUPS, MANY_CLASSES
from longtail.report.names import short
from longtail.report.titles import rule_title

MARKERS = "osD^vP*X<>hd"
COLOURS = 10  # of matplotlib's cycle
ROW = 0.2  # inches of a class, or of a task


def draw(results: Results) -> list[Path]:
    """Write the figures as SVG into the experiment's directory: of a few tasks each one's, of many their mean's."""
    plt.rcParams["svg.hashsalt"] = "longtail"
    figures: dict[str, Figure] = {}
    if len(results.tasks) > 2:
        figures["gain-by-imbalance"] = _gain_by_imbalance(results)
    if len(results.tasks) > MANY_TASKS:
        figures["accuracy-mean"] = _accuracy(None, results)
    for task in results.tasks if len(results.tasks) <= MANY_TASKS else ():
        figures[f"accuracy-{task}"] = _accuracy(task, results)
        figures[f"gain-{task}"] = _gain(task, results)
    files = {results.place.work / f"{name}.svg": figure for name, figure in figures.items()}
    for file, figure in files.items():
        figure.savefig(file, metadata={"Date": None}, bbox_inches="tight")
        plt.close(figure)
    return list(files)


def _accuracy(task: str | None, results: Results) -> Figure:
    """Accuracy of each method by its own rule in each setting, with the spread over the seeds."""
    figure, axes = plt.subplots(figsize=(7.5, 4.5))
    settings = list(results.matrix.settings)
    for place, name in enumerate(results.matrix.methods):
        own = results.own(name)
        values = [100 * results.values(task, setting, *own) for setting in settings]
        known = [i for i, v in enumerate(values) if len(v)]
        axes.errorbar(
            [i + 0.03 * (place - len(results.matrix.methods) / 2) for i in known],
            [values[i].mean() for i in known],
            yerr=[values[i].std(ddof=1) if len(values[i]) > 1 else 0 for i in known],
            label=f"{results.matrix.shown(name)} ({rule_title(own[1])})",
            capsize=2,
            **line(place),
        )
    axes.set_xticks(range(len(settings)), settings)
    if sum(map(len, settings)) > 70:  # what stands in a row without touching
        axes.tick_params(axis="x", rotation=90)
    axes.set_xlim(-0.5, len(settings) - 0.5)
    of = f"{len(results.tasks)} tasks" if task is None else task
    axes.set_ylabel(f"mean per-class accuracy of {of}, %")
    frame(axes, "y")
    return figure


def _gain(task: str, results: Results) -> Figure:
    """What each method gains over the baseline in recall, class by class, in the last setting, smallest class first;
    of many classes in groups of them.
    """
    setting = results.matrix.last_setting
    sizes = results.class_sizes(task, setting)
    base = results.recalls(task, setting, *results.baseline)
    # A background class has no recall.
    order = sorted((name for name in sizes if name in base.columns), key=lambda name: sizes[name])
    gains = {}
    for name in results.matrix.methods:
        if name != results.matrix.baseline:
            gained = (results.recalls(task, setting, *results.own(name)) - base).mean()
            gains[name] = 100 * gained.reindex(order).to_numpy(dtype=float)
    labels = [f"{short(name)} ({sizes[name]:,.0f})" for name in order]
    if len(order) > MANY_CLASSES:
        groups = np.array_split(np.arange(len(order)), GROUPS)
        labels = [f"{len(group)} classes ({np.mean([sizes[order[i]] for i in group]):,.1f})" for group in groups]
        gains = {name: np.array([_mean(of[group]) for group in groups]) for name, of in gains.items()}
    figure, axes = _rows(labels)
    _draw_gains(axes, gains, results)
    axes.set_ylabel(f"class of {task}, and its training images,\nmean over the seeds ({setting})")
    axes.set_xlabel(f"gain in recall over {results.matrix.baseline}, points")
    return figure


def _mean(values: Any) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _gain_by_imbalance(results: Results) -> Figure:
    """What each method gains over the baseline, task by task in the last setting, as in CRL's Figure 5."""
    matrix, setting, ratios = results.matrix, results.matrix.last_setting, results.ratios
    other = [results.values(task, setting, *results.baseline) for task in ratios]
    gains = {}
    for name in matrix.methods:
        if name != matrix.baseline:
            mine = [results.values(task, setting, *results.own(name)) for task in ratios]
            gains[name] = np.array([100 * (a - b).mean() for a, b in zip(mine, other, strict=True)])
    figure, axes = _rows([f"{task}  1 : {ratio:.0f}" for task, ratio in ratios.items()])
    _draw_gains(axes, gains, results)
    axes.set_ylabel(f"task, and its imbalance ratio in training ({setting})")
    axes.set_xlabel(f"gain in mean per-class accuracy over {matrix.baseline}, points")
    return figure


def _rows(labels: list[str]) -> tuple[Figure, Axes]:
    """Axes with a row for each label, the first on top, high enough that no two touch."""
    figure, axes = plt.subplots(figsize=(7.5, max(2.5, ROW * len(labels) + 0.8)))
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    axes.set_ylim(max(len(labels), 1) - 0.5, -0.5)
    return figure, axes


def _draw_gains(axes: Axes, gains: dict[str, Any], results: Results) -> None:
    """A line a method, from row to row; a method of which nothing is known is left out."""
    for place, name in enumerate(results.matrix.methods):
        if name in gains and not np.isnan(gains[name]).all():
            axes.plot(gains[name], range(len(gains[name])), label=results.matrix.shown(name), **line(place))
    axes.axvline(0, color="0.4", linewidth=0.8)
    frame(axes, "x")


def line(place: int) -> dict[str, Any]:
    """How the method of this number is drawn, as no other one."""
    return {
        "color": f"C{place % COLOURS}",
        "marker": MARKERS[place % len(MARKERS)],
        "linestyle": "-" if place < COLOURS else "--",
        "linewidth": 1,
    }


def frame(axes: Axes, grid: Any) -> None:
    """A grid, and the methods' names beside."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8, frameon=False)
    axes.grid(axis=grid, alpha=0.3)
