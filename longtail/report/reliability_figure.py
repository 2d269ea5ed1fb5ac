"""Reliability diagrams: how often answers of each confidence are right, before and after the temperature."""

from textwrap import fill

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from longtail.metrics.calibration import Calibration
from longtail.report.content import TaskReport
from longtail.report.figures import BLUE, GREY, ORANGE, Picture, picture
from longtail.report.names import short
from longtail.report.operating_point import Calibrated
from longtail.report.titles import model_title, rule_title

# Panels side by side, and at most.
COLUMNS, PANELS = 3, 9


def reliability(task: TaskReport) -> Picture | None:
    """A panel for each model: by its own rule if that has probabilities, or else by its head; None without any."""
    shown = _shown(task)
    if not shown:
        return None
    columns = min(COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(0.4 + 3.5 * columns, 3.7 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for panel in panels.flat[len(shown) :]:
        panel.set_visible(False)
    for panel, one in zip(panels.flat, shown, strict=False):
        _draw(panel, one)
        panel.set_title(fill(short(model_title(one.model, rule_title(one.rule), task), 56), 30))
    for panel in panels[:, 0]:
        panel.set_ylabel("right, %")
    for place in range(len(shown)):
        if place + columns >= len(shown):
            panels.flat[place].set_xlabel("confidence, %")
            panels.flat[place].tick_params(axis="x", labelbottom=True)
    return picture(figure, f"Reliability of the probabilities on {task.name}")


def _shown(task: TaskReport) -> list[Calibrated]:
    own = {row.model: row.rule for row in task.own_rows}
    chosen: dict[str, Calibrated] = {}
    for one in task.operating.calibration if task.operating else ():
        if one.before is not None and (one.model not in chosen or one.rule == own.get(one.model)):
            chosen[one.model] = one
    return list(chosen.values())[:PANELS]


def _draw(panel: Axes, one: Calibrated) -> None:
    panel.plot([0, 100], [0, 100], "--", color=GREY, linewidth=1)
    _line(panel, one.before, ORANGE)
    _line(panel, one.after, BLUE)
    panel.set_xlim(0, 102)
    panel.set_ylim(-2, 102)
    panel.set_xticks(range(0, 101, 25))
    panel.set_yticks(range(0, 101, 25))
    panel.set_aspect("equal")


def _line(panel: Axes, measured: Calibration | None, colour: str) -> None:
    """The bins that hold images, each a dot by its share of them."""
    if measured is None:
        return
    x, y, size = [], [], []
    for one in measured.bins:
        if one.confidence is not None and one.accuracy is not None:
            x.append(100 * one.confidence)
            y.append(100 * one.accuracy)
            size.append(12 + 250 * one.images / measured.images)
    panel.plot(x, y, color=colour, linewidth=1.2, alpha=0.7)
    panel.scatter(x, y, size, color=colour, alpha=0.75, linewidths=0, zorder=3, clip_on=False)
