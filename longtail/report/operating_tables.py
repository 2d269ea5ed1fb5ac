"""The tables of calibration, of other test priors and of prediction sets: rows of text, ready for the template."""

from collections.abc import Sequence
from typing import Any

from longtail.metrics.calibration import Calibration
from longtail.metrics.conformal import ADJUSTED, BY_CLASS, MARGINAL, ClassSets, PredictionSets
from longtail.report.content import TaskReport
from longtail.report.limits import MANY_CLASSES, WORST
from longtail.report.operating_point import Calibrated, OperatingPoint, UnderPriors
from longtail.report.tables import Cell, percent, percent_order, shown_rows
from longtail.report.titles import model_title, rule_title

# Every calibration error that the table can show, and its heading.
ERRORS = {
    "ece": "ECE, %",
    "classwise_ece": "classwise ECE, %",
    "many_ece": "ECE of many-shot answers, %",
    "medium_ece": "ECE of medium-shot answers, %",
    "few_ece": "ECE of few-shot answers, %",
    "nll": "negative log-likelihood, nats",
}
GROUPS = ("many", "medium", "few")
KINDS = {MARGINAL: "one threshold", BY_CLASS: "a threshold a class", ADJUSTED: "prevalence-adjusted"}
Table = tuple[list[str], list[tuple[str, list[Cell]]]]


def calibration_table(task: TaskReport, operating: OperatingPoint) -> Table | None:
    """A row a model and rule: its temperature, and each error before → after; None where nothing is calibrated."""
    rows = [one for one in operating.calibration if one.before is not None]
    if not rows:
        return None
    groups = _groups([one.before for one in rows], "ece")
    shown = [name for name in ERRORS if name.removesuffix("_ece") in groups or not name.startswith(GROUPS)]
    return ["temperature", *(ERRORS[name] for name in shown)], [
        (
            model_title(one.model, rule_title(one.rule), task),
            [Cell(_number(one.temperature)), *(Cell(_before_after(one, name)) for name in shown)],
        )
        for one in rows
    ]


def _before_after(one: Calibrated, name: str) -> str:
    before, after = (_error(measured, name) for measured in (one.before, one.after))
    return before if after == before == "–" else f"{before}\u00a0→\u00a0{after}"


def _error(measured: Calibration | None, name: str) -> str:
    value = getattr(measured, name, None)
    return _number(value if name == "nll" or value is None else 100 * value)


def _number(value: float | None) -> str:
    """With three digits: errors of many classes are small."""
    return "–" if value is None else f"{value:#.3g}" if 0 < value < 99.95 else f"{value:.0f}"


def _groups(measured: Sequence[Any], of: str) -> list[str]:
    """Of many-, medium- and few-shot those that exist; none if there is only one, which says no more than the whole."""
    found = [name for name in GROUPS if any(getattr(one, f"{name}_{of}") is not None for one in measured)]
    return found if len(found) > 1 else []


def prior_table(task: TaskReport, operating: OperatingPoint) -> Table | None:
    """A row a model and rule, a column a test prior, in percent, the best of it bold; None without test labels."""
    shown = {(row.model, row.rule) for row in shown_rows(task)}
    rows = [one for one in operating.under_priors if one.told or (one.model, one.rule) in shown]
    if not rows:
        return None
    names = list(rows[0].accuracy)
    best = {name: max(percent_order(one.accuracy[name]) for one in rows) for name in names}
    return [f"{name}, %" for name in names], [
        (
            _prior_title(one, task),
            [Cell(percent(of := one.accuracy[name]), best=percent_order(of) == best[name]) for name in names],
        )
        for one in rows
    ]


def _prior_title(one: UnderPriors, task: TaskReport) -> str:
    return model_title(one.model, rule_title(one.rule) + (", told the prior" if one.told else ""), task)


def set_table(task: TaskReport, operating: OperatingPoint) -> Table | None:
    """A row a model and kind of set; None where no model has sets."""
    rows = [(model, kind, sets) for model, of_model in operating.sets.items() for kind, sets in of_model.items()]
    if not rows:
        return None
    shown = _groups([sets for *_, sets in rows], "coverage")
    headings = ["coverage, %", "mean of the classes, %", "lowest of a class, %"]
    headings += [f"{name}-shot classes, %" for name in shown]
    return ["mean size", *headings, "classes in every set"], [
        (
            model_title(model, KINDS[kind], task),
            [
                Cell(f"{sets.size:.2f}"),
                *(Cell(percent(value)) for value in (sets.coverage, sets.mean_class_coverage)),
                Cell(percent(sets.lowest_coverage), f"class “{sets.worst_classes(1)[0].name}”"),
                *(Cell(percent(getattr(sets, f"{name}_coverage"))) for name in shown),
                Cell(f"{sets.always:,}"),
            ],
        )
        for model, kind, sets in rows
    ]


def class_set_table(task: TaskReport, operating: OperatingPoint) -> Table | None:
    """A row a class, of many those that one threshold covers least: of the first model with sets, coverage and mean
    size by each kind.
    """
    kinds = next(iter(operating.sets.values()), None)
    if kinds is None:
        return None
    headings = [f"{KINDS[kind]}: coverage, % (mean size)" for kind in kinds]
    rows = {kind: {row.name: row for row in sets.per_class} for kind, sets in kinds.items()}
    return ["validation images", "test images", *headings], [
        (
            name,
            [
                *(Cell(f"{number:,}") for number in (rows[MARGINAL][name].validation, rows[MARGINAL][name].support)),
                *(_covered(rows[kind][name]) for kind in kinds),
            ],
        )
        for name in _named(task, kinds[MARGINAL])
    ]


def _covered(row: ClassSets) -> Cell:
    return Cell(
        "–" if row.size is None else f"{percent(row.coverage)} ({row.size:.1f})", "always" if row.always else ""
    )


def _named(task: TaskReport, sets: PredictionSets) -> Sequence[str]:
    if len(task.classes) > MANY_CLASSES:
        return [row.name for row in sets.worst_classes(WORST)]
    inside = {row.name for row in sets.per_class}
    return [task.classes[code] for code in task.by_size if task.classes[code] in inside]
