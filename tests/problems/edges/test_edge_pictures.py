"""Pictures of edge maps: every panel is as dark as its values say, whatever else is in it."""

from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest
from edge_files import outlines
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from experiments.edge_pictures import draw_worst
from longtail.data.jpeg import Pixels
from longtail.data.photographs import Photographs
from longtail.problems.edges.evaluation.case import Case
from longtail.problems.edges.evaluation.evaluation import evaluate
from longtail.problems.edges.evaluation.settings import Settings
from longtail.problems.edges.pictures import draw_pictures

SHAPE = (48, 60)


class OneGrey(Photographs):
    """Photographs of one channel, all of whose pixels have one value."""

    def __init__(self, value: int) -> None:
        self.entries = [SimpleNamespace(name="test/one")]  # type: ignore[list-item]
        self.value = value

    def pixels(self, number: int) -> Pixels:
        return np.full((*SHAPE, 1), self.value, np.uint8)


def greys(figure: Figure) -> list[float]:
    """The mean of each panel as it is drawn, 0 black and 1 white."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawn = np.asarray(canvas.buffer_rgba())[..., :3].mean(axis=2) / 255
    boxes = [panel.get_window_extent().extents.round().astype(int) for panel in figure.axes]
    height = len(drawn)
    return [
        float(drawn[height - top + 3 : height - bottom - 3, left + 3 : right - 3].mean())
        for left, bottom, right, top in boxes
    ]


def case_of(edge_map: npt.NDArray[np.float64], boundaries: npt.NDArray[np.bool_]) -> list[Case]:
    return [Case("one", edge_map, boundaries)]


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize("full", [False, True])
def test_a_panel_of_one_value_is_drawn_as_that_value(value: int, full: bool) -> None:
    """A map that is an edge everywhere had been drawn as one that is nowhere."""
    boundaries = np.full((2, *SHAPE), full)
    cases = case_of(np.full(SHAPE, float(full)), boundaries)
    found = evaluate(cases, Settings(thresholds=3), processes=1)
    dark = 1 - float(full)
    assert greys(draw_pictures(OneGrey(value), cases, found)) == pytest.approx(
        [value / 255, dark, dark, dark], abs=0.01
    )
    of_rows = draw_worst(OneGrey(value), {"a": cases}, {"a": found})
    assert greys(of_rows) == pytest.approx([value / 255, dark, dark], abs=0.01)


def test_edges_are_dark_on_light() -> None:
    boundaries = outlines(SHAPE)
    cases = case_of(boundaries.mean(axis=0), boundaries)
    found = evaluate(cases, Settings(thresholds=3), processes=1)
    assert all(0.6 < grey < 0.99 for grey in greys(draw_pictures(OneGrey(200), cases, found))[1:])
