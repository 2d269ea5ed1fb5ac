"""Photographs on which edges are found worst: what people drew, and what several methods find."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from longtail.data.photographs import Photographs
from longtail.problems.edges.evaluation.case import Case
from longtail.problems.edges.evaluation.evaluation import Evaluation
from longtail.problems.edges.evaluation.suppression import suppressed
from longtail.problems.edges.photographs import by_name

SHOWN = 5  # photographs


def draw_worst(photographs: Photographs, cases: Mapping[str, list[Case]], found: Mapping[str, Evaluation]) -> Figure:
    """A row for each of the photographs of the least F, each at its own best threshold, on average over the methods.
    Of every method what is left by its NMS from its ODS threshold on.
    """
    each = np.array([[point.f for point in one.images] for one in found.values()])
    shown = np.argsort(each.mean(axis=0), kind="stable")[:SHOWN]
    figure = Figure(figsize=(2.6 * (2 + len(found)), 2.1 * len(shown)), layout="constrained")
    panels = figure.subplots(len(shown), 2 + len(found), squeeze=False)
    for row, place in zip(panels, shown, strict=True):
        case = next(iter(cases.values()))[place]
        boundaries = case.read()[1]
        row[0].imshow(photographs.pixels(by_name(photographs)[case.name]).squeeze(), cmap="gray", vmin=0, vmax=255)
        row[0].set_title(case.name, size=8)
        row[1].imshow(boundaries.mean(axis=0), cmap="gray_r", vmin=0, vmax=1)
        row[1].set_title(f"{len(boundaries)} annotators, mean", size=8)
        for panel, (name, one), scores in zip(row[2:], found.items(), each, strict=True):
            edges = suppressed(cases[name][place].read()[0], one.settings.nms) >= (one.ods.threshold or 1)
            panel.imshow(edges, cmap="gray_r", vmin=0, vmax=1, interpolation="none")
            panel.set_title(f"{name}, F {scores[place]:.2f}", size=8)
        for panel in row:
            panel.set(xticks=[], yticks=[])
    return figure
