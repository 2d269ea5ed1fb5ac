"""Figures that compare ways of classifying: intervals of each method, and the search for k."""

from collections.abc import Sequence
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from longtail.metrics.scores import BOOTSTRAPPED
from longtail.report.content import TaskReport
from longtail.report.explanation import KSearch
from longtail.report.figures import BLUE, INK, LINES, Picture, picture, row_panels
from longtail.report.limits import MOST_GAINS
from longtail.report.names import short
from longtail.report.tables import TITLES, shown_rows
from longtail.report.task_tables import gain_rows, ratio_text
from longtail.report.titles import row_title


def intervals(task: TaskReport) -> Picture | None:
    """A dot and its 95 % interval for each row shown and metric; None where no metric exists."""
    rows = shown_rows(task)
    scalars = [row.metrics.scalars() for row in rows]
    shown = [name for name in BOOTSTRAPPED if any(name in values for values in scalars)]
    if not shown:
        return None
    figure, axes = row_panels(
        [row_title(row, task) for row in rows],
        [fill(TITLES[name], 16) for name in shown],
        row=0.38,
        longest=30,
        lines=2,
    )
    for panel, metric in zip(axes, shown, strict=True):
        for y, (row, values) in enumerate(zip(rows, scalars, strict=True)):
            if metric in values:
                low, high = values.get(f"{metric}_low", values[metric]), values.get(f"{metric}_high", values[metric])
                colour = BLUE if row == task.main else "#64748b"
                panel.plot([100 * low, 100 * high], [y, y], color=colour, linewidth=2.2, solid_capstyle="round")
                panel.plot(100 * values[metric], y, "o", color=colour, markersize=6)
        panel.margins(x=0.12)
        panel.locator_params(axis="x", nbins=4)
        panel.set_xlabel("%")
    known = any(row.metrics.intervals for row in rows)
    return picture(figure, f"Metrics of each method on {task.name}{' with 95 % intervals' if known else ''}")


def gains(tasks: Sequence[TaskReport]) -> Picture | None:
    """What a model gains over the baseline, task by task, the most imbalanced last (CRL, Figures 5 and 6);
    None where fewer than two tasks compare two models. Of many tasks those of the largest differences are drawn.
    """
    found = gain_rows(tasks)
    if len(found) < 2:
        return None
    if len(found) > MOST_GAINS:
        smallest = sorted((abs(gain) for *_, gain in found), reverse=True)[MOST_GAINS - 1]
        found = [row for row in found if abs(row[2]) >= smallest]
    names = [f"{short(name, 30)}  {ratio_text(ratio)}" for name, ratio, _ in found]
    figure, (axes,) = row_panels(names, ["mean per-class accuracy"], row=0.26, longest=44)
    for y, (*_, gain) in enumerate(found):
        axes.plot([0, 100 * gain], [y, y], color=BLUE, linewidth=5, solid_capstyle="butt")
    axes.axvline(0, color=INK, linewidth=0.9)
    axes.margins(x=0.08)
    axes.set_xlabel("points gained")
    return picture(figure, "Gain of each task, by its imbalance ratio")


def k_curves(search: KSearch) -> Picture | None:
    """Validation accuracy against k, one line a decision rule, the choice ringed; None if only one k was tried."""
    ks = sorted({k for curve in search.curves for k in curve.k})
    if len(ks) < 2:
        return None
    figure = Figure(figsize=(8, 3.8), layout="constrained")
    axes = figure.subplots()
    for colour, curve in zip(LINES * len(search.curves), search.curves, strict=False):
        values = 100 * np.asarray(curve.accuracy, dtype=float)
        axes.plot(curve.k, values, "o-", color=colour, markersize=4, label=short(curve.rule.replace("_", " "), 40))
    _ring_choice(axes, search)
    _k_axis(axes, ks)
    axes.set_ylabel("validation mean\nper-class accuracy, %")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return picture(figure, "Validation accuracy against k")


def _ring_choice(axes: Axes, search: KSearch) -> None:
    for curve in search.curves:
        if curve.rule == search.rule and search.k in curve.k:
            chosen = 100 * curve.accuracy[list(curve.k).index(search.k)]
            label = f"chosen: k = {search.k}, {chosen:.1f} %"
            axes.plot(search.k, chosen, "o", markersize=13, fillstyle="none", color=INK, label=label)


def _k_axis(axes: Axes, ks: Sequence[int]) -> None:
    axes.set_xscale("log")
    axes.minorticks_off()
    kept = [ks[0]]
    for k in ks[1:]:
        if np.log(k / kept[-1]) >= 0.045 * np.log(ks[-1] / ks[0]):  # closer ticks would touch
            kept.append(k)
    axes.set_xticks(kept, [str(k) for k in kept])
    axes.set_xlabel("k nearest centroids")
