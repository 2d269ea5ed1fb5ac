"""What an evaluation leaves: figures as JSON, tables by threshold and by image, the curve, and a page; and as text."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from longtail.artifacts.reading import write_json
from longtail.problems.edges.evaluation.counts import MAX_DISTANCE, Counts, Real, thresholds
from longtail.problems.edges.evaluation.curve_figure import draw_curves
from longtail.problems.edges.evaluation.evaluation import Evaluation
from longtail.problems.edges.evaluation.scores import Point, f_measure
from longtail.report.figures import Picture, picture, raster, style
from longtail.report.page import environment
from longtail.sources.quoting import printable

FILE, PAGE = "results.json", "report.html"


def write_results(evaluation: Evaluation, title: str, folder: Path, pictures: Figure | None = None) -> None:
    """Write results.json, thresholds.csv, images.csv, precision_recall.svg, report.html and, where they are given,
    pictures.png, which the page shows too; `title` is the map's maker.
    """
    title = printable(title)
    write_json(folder / FILE, as_json(evaluation))
    at = thresholds(evaluation.settings.thresholds)
    _table(at, evaluation.total).to_csv(folder / "thresholds.csv", index=False)
    _images(evaluation).to_csv(folder / "images.csv", index=False)
    with style():
        figure = draw_curves({title: evaluation})
        figure.savefig(folder / "precision_recall.svg", metadata={"Date": None, "Creator": None})
        curve = picture(figure, "Precision against recall, with lines of equal F")
    shown = None
    if pictures is not None:
        pictures.savefig(folder / "pictures.png", metadata={"Software": None})
        content = (folder / "pictures.png").read_bytes()
        shown = raster(pictures, content, "Photographs beside what was drawn and found")
    (folder / PAGE).write_text(_page(evaluation, title, curve, shown), encoding="utf-8")


def _page(evaluation: Evaluation, title: str, curve: Picture, pictures: Picture | None) -> str:
    points = [("ODS", evaluation.ods), ("OIS", evaluation.ois)]
    points += [("annotators among each other", evaluation.human)] if evaluation.human else []
    parts = {"title": title, "points": points, "ap": evaluation.ap, "curve": curve, "pictures": pictures}
    settings = evaluation.settings.model_dump(mode="json") | {"max_distance": MAX_DISTANCE}
    found: str = (
        environment().get_template("edges.html").render(**parts, settings=settings, images=len(evaluation.names))
    )
    return found


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """Every figure of the whole data set, and all that it depends on."""
    human = evaluation.human
    return {
        **evaluation.settings.model_dump(mode="json"),
        "max_distance": MAX_DISTANCE,
        "images": len(evaluation.names),
        "ods": asdict(evaluation.ods),
        "ois": asdict(evaluation.ois),
        "ap": evaluation.ap,
        "human": asdict(human) if human else None,
    }


def as_text(evaluation: Evaluation) -> str:
    """The figures, a line each."""
    settings = evaluation.settings
    rows = [("ODS", evaluation.ods), ("OIS", evaluation.ois)]
    rows += [("human", evaluation.human)] if evaluation.human else []
    return "\n".join(
        [
            f"{len(evaluation.names)} images, {settings.thresholds} thresholds, NMS {settings.nms}",
            f"{'':6}{'F':>8}{'recall':>10}{'precision':>11}{'threshold':>11}",
            *(_line(name, point) for name, point in rows),
            f"{'AP':6}{evaluation.ap:8.4f}",
        ]
    )


def _line(name: str, point: Point) -> str:
    threshold = "" if point.threshold is None else f"{point.threshold:11.4f}"
    return f"{name:6}{point.f:8.4f}{point.recall:10.4f}{point.precision:11.4f}{threshold}"


def _table(at: Real, counts: Counts) -> pd.DataFrame:
    recall, precision = counts.recall, counts.precision
    f = f_measure(recall, precision)
    return pd.DataFrame({"threshold": at, "recall": recall, "precision": precision, "f": f} | vars(counts))


def _images(evaluation: Evaluation) -> pd.DataFrame:
    points = [asdict(point) for point in evaluation.images]
    table = pd.DataFrame(points, index=pd.Index(map(printable, evaluation.names), name="image")).reset_index()
    return table[["image", "threshold", "recall", "precision", "f"]]
