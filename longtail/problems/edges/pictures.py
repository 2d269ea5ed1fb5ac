"""Photographs beside what was drawn in them and what was found, from the worst to the best."""

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from longtail.data.jpeg import Pixels
from longtail.data.photographs import Photographs
from longtail.problems.edges.evaluation.case import Case
from longtail.problems.edges.evaluation.evaluation import Evaluation
from longtail.problems.edges.evaluation.suppression import suppressed
from longtail.problems.edges.photographs import by_name

SHOWN = 8  # photographs, evenly from the worst to the best
COLUMNS = ("photograph", "annotators, mean", "edge map", "suppressed, cut at ODS")


def draw_pictures(photographs: Photographs, cases: list[Case], evaluation: Evaluation) -> Figure:
    """A row for each of some photographs, by its best F."""
    scores = np.array([point.f for point in evaluation.images])
    shown = np.argsort(scores, kind="stable")[np.unique(np.linspace(0, len(scores) - 1, SHOWN).round().astype(int))]
    figure = Figure(figsize=(12, 2.3 * len(shown)), layout="constrained")
    panels = figure.subplots(len(shown), len(COLUMNS), squeeze=False)
    for row, place in zip(panels, shown, strict=True):
        pictures = _pictures(photographs, cases[place], evaluation)
        for panel, title, picture in zip(row, COLUMNS, pictures, strict=True):
            grey = "gray" if title == COLUMNS[0] else "gray_r"
            # Bounds, or a picture of one value would be drawn as an empty one.
            panel.imshow(picture, cmap=grey, vmin=0, vmax=255, interpolation="none")
            panel.set(xticks=[], yticks=[])
            panel.set_title(
                f"{cases[place].name}, F {scores[place]:.2f}" if title == COLUMNS[0] else title, size=8, loc="center"
            )
    return figure


def _pictures(photographs: Photographs, case: Case, evaluation: Evaluation) -> list[Pixels]:
    """Of each column an array H×W or H×W×3."""
    number, (edge_map, boundaries) = by_name(photographs)[case.name], case.read()
    edges = suppressed(edge_map, evaluation.settings.nms)
    return [
        photographs.pixels(number).squeeze(),
        _grey(boundaries.mean(axis=0)),
        _grey(edge_map / max(edge_map.max(), 1e-9)),
        _grey(edges >= (evaluation.ods.threshold or 1)),
    ]


def _grey(values: npt.NDArray[np.generic]) -> Pixels:
    return np.round(255 * values.astype(np.float64)).astype(np.uint8)
