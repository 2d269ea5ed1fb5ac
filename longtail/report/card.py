"""The model card: what the leading model is, what it was trained on, what it reaches and where it must not be trusted.

Source: Mitchell et al., Model cards for model reporting, FAT* 2019.
"""

import re
from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from longtail.data.preprocessing import Preprocessing
from longtail.report.content import MEAN, Report, Standing, TaskReport
from longtail.report.history import PRIORS
from longtail.report.limits import in_full
from longtail.report.names import printable, short
from longtail.report.served import ServedModel
from longtail.report.tables import TITLES, percent, points
from longtail.report.titles import rule_title
from longtail.report.verdict import remarks, verdict

# Classes that a table of the card has: of more, half of them the largest and half the smallest.
MOST_CLASSES = 20
# With fewer independent test images the 95 % interval of a class's recall is wider than half of all that is possible.
FEW = 10
LONGEST = 60  # columns of a class's name
MARKS = re.compile(r"([\\`*_\[\]<>|#~])")
FITS = {"stretch": "stretched to", "crop": "cut at the middle to", "pad": "laid on black to"}


def model_card(report: Report, served: ServedModel, address: str) -> str:
    """The card of the report's leading model, as Markdown; `address` is where MLflow serves it from."""
    environment = Environment(
        loader=PackageLoader("longtail.report"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"percent": percent, "plain": plain, "rule": rule_title}
    tasks = [report.tasks[place] for place in in_full(report.tasks)]
    return environment.get_template("model_card.md").render(
        report=report,
        model=report.models[0],
        served=served,
        address=address,
        start=PRIORS.get(report.parameters.get("start", {}).get("prior"), "–"),
        pixels=_pixels(served.preprocessing),
        verdict=verdict(report),
        notes=[*report.notes, *remarks(report)],
        standings=[_standing(report, one) for one in report.standings],
        over=MEAN if report.means else report.tasks[0].name,
        tasks=[_task(task) for task in tasks],
        few=FEW,
    )


def plain(text: str) -> str:
    """A text that somebody chose, on one line, without anything that Markdown takes for a mark of its own."""
    return MARKS.sub(r"\\\1", printable(" ".join(text.split())))


def _pixels(how: Preprocessing | None) -> str:
    if how is None:
        return "More than an image's file went into its pixels, such as landmarks: the model takes arrays, no files."
    height, width, channels = how.image_shape
    steps = ["Turned as its EXIF orientation says", "transparency laid over white", "grey" if channels == 1 else "RGB"]
    steps.append(f"{FITS[how.fit]} {height}×{width} pixels ({how.resampling})")
    if how.white is not None:
        steps.append(f"in grey of more than 8 bits {how.white:g} is white")
    if how.jpeg_quality is not None:
        steps.append(f"kept as JPEG of quality {how.jpeg_quality}")
    return ", ".join(steps) + "."


def _standing(report: Report, one: Standing) -> list[str]:
    """A row: model, rule, score, its interval, and the paired difference to the baseline with its own."""
    interval = f"{percent(one.interval[0])} to {percent(one.interval[1])}" if one.interval else "–"
    found = one.difference
    within = f" ({' to '.join(map(points, found.interval))})" if found and found.interval else ""
    gained = f"{points(found.mean)}{within}, p = {found.p:.2g}" if found else "–"
    if one.model == report.tasks[0].baseline:
        reached = "" if one.reference is None else f", by its adjusted head {percent(one.reference)} %"
        gained = f"baseline{reached}"
    return [plain(one.model), rule_title(one.rule) if one.rule else "–", percent(one.accuracy), interval, gained]


def _task(task: TaskReport) -> dict[str, Any]:
    """What the template needs of one task beside the task itself."""
    metrics, scalars = task.main.metrics, task.main.metrics.scalars()
    rows = {row.name: row for row in metrics.per_class}
    shown = _ends(task.by_size)
    train, test = (task.counts[name] for name in ("train", "test"))
    inside = [code for code in task.by_size if task.classes[code] != task.background]
    return {
        "task": task,
        "scores": [
            (title, scalars[name], metrics.intervals.get(name)) for name, title in TITLES.items() if name in scalars
        ],
        "classes": [
            (
                short(task.classes[code], LONGEST),
                [f"{counts[code]:,}" for counts in task.counts.values()],
                percent(rows[task.classes[code]].recall) if task.classes[code] in rows else "–",
            )
            for code in shown
        ],
        "left_out": len(task.classes) - len(shown),
        "untrained": _names(task, [code for code in inside if not train[code]]),
        "untested": _names(task, [code for code in inside if not test[code]]),
        "hardly_tested": _names(task, [code for code in inside if 0 < rows[task.classes[code]].groups < FEW]),
    }


def _ends(codes: Sequence[int]) -> list[int]:
    half = MOST_CLASSES // 2
    return list(codes) if len(codes) <= MOST_CLASSES else [*codes[:half], *codes[-half:]]


def _names(task: TaskReport, codes: Sequence[int]) -> str:
    """The first of these classes, and how many more there are; empty of none."""
    named = ", ".join(plain(short(task.classes[code])) for code in codes[: MOST_CLASSES // 2])
    more = len(codes) - MOST_CLASSES // 2
    return f"{named} and {more:,} more" if more > 0 else named
