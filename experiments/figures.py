"""The figures of an experiment: accuracy against the setting, and the gain over the baseline by class size or task."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.results import Results
from longtail.report.titles import rule_title

MARKERS = "osD^vP*X<>hd"
COLOURS = 10  # of matplotlib's cycle


def draw(results: Results) -> list[Path]:
    """Write the figures of every task as SVG into the experiment's directory."""
    plt.rcParams["svg.hashsalt"] = "longtail"
    made = []
    if len(results.tasks) > 2:
        figure = _gain_by_imbalance(results)
        made.append(results.place.work / "gain-by-imbalance.svg")
        figure.savefig(made[-1], metadata={"Date": None}, bbox_inches="tight")
        plt.close(figure)
    for task in results.tasks:
        for kind, figure in (("accuracy", _accuracy(task, results)), ("gain", _gain(task, results))):
            file = results.place.work / f"{kind}-{task}.svg"
            figure.savefig(file, metadata={"Date": None}, bbox_inches="tight")
            plt.close(figure)
            made.append(file)
    return made


def _accuracy(task: str, results: Results) -> Figure:
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
            label=f"{name} ({rule_title(own[1])})",
            capsize=2,
            **_line(place),
        )
    axes.set_xticks(range(len(settings)), settings)
    axes.set_xlim(-0.5, len(settings) - 0.5)
    axes.set_ylabel(f"mean per-class accuracy of {task}, %")
    _frame(axes)
    return figure


def _gain(task: str, results: Results) -> Figure:
    """What each method gains over the baseline in recall, class by class, in the last setting, smallest class first."""
    matrix = results.matrix
    setting, baseline = matrix.last_setting, matrix.baseline
    figure, axes = plt.subplots(figsize=(7.5, 4.5))
    sizes = results.class_sizes(task, setting)
    if not sizes:
        return figure
    order = sorted(sizes, key=lambda name: sizes[name])
    for place, name in enumerate(matrix.methods):
        if name == baseline:
            continue
        gains = []
        for class_name in order:
            metric = f"recall/{class_name}"
            mine = results.values(task, setting, *results.own(name), metric)
            base = results.values(task, setting, *results.baseline, metric)
            gains.append(100 * (mine - base).mean())
        if not np.isnan(gains).all():
            axes.plot(range(len(order)), gains, label=name, **_line(place))
    names = [f"{class_name}\n{sizes[class_name]:,.0f}" for class_name in order]
    axes.set_xticks(range(len(order)), names, fontsize=8, rotation=0 if len(order) <= 12 else 90)
    axes.set_xlabel(f"class of {task}, and its training images, mean over the seeds ({setting})")
    axes.set_ylabel(f"gain in recall over {baseline}, points")
    axes.axhline(0, color="0.4", linewidth=0.8)
    _frame(axes)
    return figure


def _gain_by_imbalance(results: Results) -> Figure:
    """What each method gains over the baseline, task by task in the last setting, as in CRL's Figure 5."""
    matrix = results.matrix
    setting = matrix.last_setting
    ratios = results.ratios
    other = [results.values(task, setting, *results.baseline) for task in ratios]
    figure, axes = plt.subplots(figsize=(7.5, 4.5))
    for place, name in enumerate(matrix.methods):
        mine = [results.values(task, setting, *results.own(name)) for task in ratios]
        gains = [100 * (a - b).mean() for a, b in zip(mine, other, strict=True)]
        if name != matrix.baseline and not np.isnan(gains).all():
            axes.plot(range(len(ratios)), gains, label=name, **_line(place))
    names = [f"{task}  1 : {ratio:.0f}" for task, ratio in ratios.items()]
    axes.set_xticks(range(len(names)), names, fontsize=8, rotation=90)
    axes.set_xlabel(f"task, and its imbalance ratio in training ({setting})")
    axes.set_ylabel(f"gain in mean per-class accuracy\nover {matrix.baseline}, points")
    axes.axhline(0, color="0.4", linewidth=0.8)
    _frame(axes)
    return figure


def _line(place: int) -> dict[str, Any]:
    """How the method of this number is drawn, as no other one."""
    return {
        "color": f"C{place % COLOURS}",
        "marker": MARKERS[place % len(MARKERS)],
        "linestyle": "-" if place < COLOURS else "--",
        "linewidth": 1,
    }


def _frame(axes: Axes) -> None:
    """A grid, and the methods' names beside."""
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8, frameon=False)
    axes.grid(axis="y", alpha=0.3)
