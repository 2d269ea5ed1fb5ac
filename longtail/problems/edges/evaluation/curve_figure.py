"""Precision against recall, with lines of equal F and the point at which people agree with each other."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from longtail.problems.edges.evaluation.evaluation import Evaluation
from longtail.report.figures import GREY, INK, LINES
from longtail.report.names import short

ISOLINES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def draw_curves(evaluations: Mapping[str, Evaluation]) -> Figure:
    """A curve for each evaluation by its name, a dot at its ODS; people as a diamond."""
    figure = Figure(figsize=(6.4, 6.0), layout="constrained")
    panel = figure.subplots()
    _isolines(panel)
    for number, (name, evaluation) in enumerate(evaluations.items()):
        _curve(panel, name, evaluation, LINES[number % len(LINES)])
    human = next((one.human for one in evaluations.values() if one.human), None)
    if human:
        label = f"annotators among each other (F {human.f:.3f})"
        panel.plot(human.recall, human.precision, "D", color=INK, label=label, zorder=4)
    panel.set(xlim=(0, 1), ylim=(0, 1), xlabel="recall", ylabel="precision", aspect="equal")
    panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1))
    return figure


def _curve(panel: Axes, name: str, evaluation: Evaluation, colour: str) -> None:
    """The curve as far as anything is predicted."""
    total, ods = evaluation.total, evaluation.ods
    there = total.predicted > 0
    label = (
        f"{short(name, 40)}, NMS {evaluation.settings.nms}: "
        f"ODS {ods.f:.3f}, OIS {evaluation.ois.f:.3f}, AP {evaluation.ap:.3f}"
    )
    panel.plot(total.recall[there], total.precision[there], color=colour, linewidth=1.8, label=label)
    panel.plot(ods.recall, ods.precision, "o", color=colour, markersize=6, zorder=3)


def _isolines(panel: Axes) -> None:
    for f in ISOLINES:
        recall = np.linspace(f / (2 - f), 1, 200)
        panel.plot(recall, f * recall / (2 * recall - f), color=GREY, linewidth=0.7, zorder=1)
        panel.annotate(f"F {f:.1f}", (1, f / (2 - f)), (3, 0), textcoords="offset points", va="center", color=GREY)
