"""Figures over the rounds: the loss and its parts while training, and validation after each round."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from longtail.report.content import Round
from longtail.report.figures import GREY, INK, LINES, Picture, picture
from longtail.report.names import short

MANY_LINES = 12
Curve = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


def training_curves(rounds: Sequence[Round]) -> Picture | None:
    """Loss and its parts over the iterations of all rounds, one after another; None where no round logged two steps.

    Round 0 is drawn only where it is all that was trained: what the rounds started from has a loss of its own kind.
    """
    trained = [r for r in rounds if len(r.iterations)]
    trained = [r for r in trained if r.number] or trained
    if max((len(r.iterations) for r in trained), default=0) < 2:
        return None
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    parts = list(dict.fromkeys(name for r in trained for name in r.parts))
    panels = figure.subplots(1, 2 if parts else 1, squeeze=False)[0]
    panels[0].set_title("loss")
    _line(panels[0], _joined(trained, [r.loss for r in trained]), LINES[0])
    for colour, name in zip(LINES * len(parts), parts, strict=False):
        panels[1].set_title("its parts")
        _line(panels[1], _joined(trained, [r.parts.get(name, ()) for r in trained]), colour, short(name, 40))
    if parts:
        figure.legend(loc="outside lower center", ncols=len(parts))
    for panel in panels:
        _mark_rounds(panel, trained)
    return picture(figure, "Loss and its parts over the iterations of all rounds")


def validation_curve(rounds: Sequence[Round]) -> Picture | None:
    """Validation accuracy after each round; None where fewer than two rounds have one."""
    scored = [r for r in rounds if r.validation]
    if len(scored) < 2:
        return None
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axes = figure.subplots()
    tasks = list(dict.fromkeys(name for r in scored for name in r.validation))
    if len(tasks) > MANY_LINES:
        scored = _their_mean(scored, tasks, axes)
        tasks = list(scored[0].validation)
    for colour, task in zip(LINES * len(tasks), tasks, strict=False):
        here = [r for r in scored if task in r.validation]
        values = [100 * r.validation[task] for r in here]
        axes.plot([r.number for r in here], values, "-", color=colour, label=short(task, 40))
        for r, value in zip(here, values, strict=True):
            axes.plot(r.number, value, "o", color=colour)
    _mark_selected(axes, scored)
    axes.set_xticks([r.number for r in scored])
    axes.set_xlabel("round")
    axes.margins(x=0.06, y=0.18)
    axes.set_ylabel("validation mean\nper-class accuracy, %")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return picture(figure, "Validation accuracy after each round")


def _their_mean(rounds: Sequence[Round], tasks: Sequence[str], axes: Axes) -> list[Round]:
    """Draw every task as a pale line, since so many cannot be told apart; the rounds with the mean in their place."""
    for task in tasks:
        here = [r for r in rounds if task in r.validation]
        axes.plot([r.number for r in here], [100 * r.validation[task] for r in here], color=GREY, linewidth=0.7)
    name = f"mean of {len(tasks)} tasks"
    return [replace(r, validation={name: sum(r.validation.values()) / len(r.validation)}) for r in rounds]


def _mark_selected(axes: Axes, rounds: Sequence[Round]) -> None:
    label: str | None = "the selected round"
    for r in rounds:
        for value in r.validation.values() if r.selected else ():
            axes.plot(r.number, 100 * value, "o", markersize=13, fillstyle="none", color=INK, label=label)
            label = None  # one entry in the legend, however many tasks


def _joined(rounds: Sequence[Round], values: Sequence[Sequence[float]]) -> list[Curve]:
    """One curve a round, shifted behind the rounds before it."""
    starts = np.cumsum([0, *(max(r.iterations) for r in rounds)])
    return [
        (start + np.asarray(r.iterations, dtype=float), np.asarray(part, dtype=float))
        for start, r, part in zip(starts, rounds, values, strict=False)
        if len(part)
    ]


def _line(axes: Axes, curves: Sequence[Curve], colour: str, label: str | None = None) -> None:
    """The values as they are, pale, and their running mean over a fortieth of the round."""
    for x, y in curves:
        window = max(1, len(y) // 40)
        if window > 1:
            axes.plot(x, y, color=colour, alpha=0.22, linewidth=0.7)
        smooth = np.convolve(y, np.ones(window) / window, mode="valid")
        axes.plot(x[window - 1 :], smooth, color=colour, linewidth=1.6, label=label)
        label = None


def _mark_rounds(axes: Axes, rounds: Sequence[Round]) -> None:
    edges = np.cumsum([0, *(max(r.iterations) for r in rounds)])
    for edge in edges[1:-1]:
        axes.axvline(edge, color=GREY, linewidth=0.9, linestyle=":")
    for r, left, right in zip(rounds, edges, edges[1:], strict=False) if len(rounds) > 1 else ():
        text = f"round {r.number}" if len(rounds) <= 6 else str(r.number)
        axes.text(
            (left + right) / 2, 0.97, text, transform=axes.get_xaxis_transform(), ha="center", va="top", fontsize=8
        )
    axes.set_xlim(0, edges[-1])
    axes.set_ylim(0, axes.get_ylim()[1] * 1.12)  # the names of the rounds stand above the curves
    axes.set_xlabel("iteration")
