"""The tables of the report: rows of text, ready for the template."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from longtail.metrics.significance import Difference
from longtail.report.content import ModelReport, Round, Row, TaskReport
from longtail.report.limits import MANY_TASKS
from longtail.report.titles import row_title, rule_title
from longtail.rules.registry import ADJUSTED
from longtail.stages import NAMED

# Every number that a table of metrics can show, and its heading.
TITLES = {
    "mean_class_accuracy": "mean per-class accuracy",
    "accuracy": "overall accuracy",
    "average_f1": "average F1",
    "minority_f1": "minority F1",
    "many_accuracy": "many-shot accuracy",
    "medium_accuracy": "medium-shot accuracy",
    "few_accuracy": "few-shot accuracy",
    "geometric_mean": "geometric mean",
    "harmonic_mean": "harmonic mean",
    "worst_recall": "worst class",
}


@dataclass(frozen=True)
class Cell:
    """One cell of a table: a number in percent, its interval or class below it; `best` of its column is bold."""

    text: str
    below: str = ""
    best: bool = False


@dataclass(frozen=True)
class MetricTable:
    """Ways of classifying × metrics, the leading row marked; `absent` are the titles of metrics that no row has."""

    headings: list[str]
    rows: list[tuple[str, bool, list[Cell]]]
    absent: list[str]


def percent(value: float | None) -> str:
    """A share in [0, 1] as percent with one decimal, or a dash."""
    return "–" if value is None else f"{100 * value:.1f}"


def shown_rows(task: TaskReport) -> list[Row]:
    """Of the leading model every rule, of the others their own and the adjusted head, beside which any has to stand."""
    return [row for row in task.rows if row.own or row.model == task.main.model or row.rule == ADJUSTED]


def metric_table(task: TaskReport) -> MetricTable:
    """The metrics of the rows shown of `task`, in percent, with 95 % intervals where there are any."""
    scalars = {row.key: row.metrics.scalars() for row in shown_rows(task)}
    shown = [name for name in TITLES if any(name in values for values in scalars.values())]
    best = {name: max(percent_order(values.get(name)) for values in scalars.values()) for name in shown}
    rows = [
        (
            row_title(row, task),
            row == task.main,
            [_cell(row, metric, scalars[row.key], best[metric]) for metric in shown],
        )
        for row in shown_rows(task)
    ]
    return MetricTable([TITLES[name] for name in shown], rows, [TITLES[name] for name in TITLES if name not in shown])


def comparison_rows(task: TaskReport, models: Sequence[ModelReport]) -> list[list[Cell]]:
    """A row a model: its name with the method below, its rule, the headline score, the difference to the baseline."""
    titles = {model.name: model.title for model in models}
    return [
        [
            Cell(row.model, titles[row.model]),
            Cell(rule_title(row.rule)),
            headline(row.metrics.mean_class_accuracy, row.metrics.intervals.get("mean_class_accuracy")),
            Cell("baseline") if row.model == task.baseline else difference(row.difference),
        ]
        for row in task.own_rows
    ]


def headline(accuracy: float | None, interval: tuple[float, float] | None) -> Cell:
    """A mean per-class accuracy above its interval."""
    return Cell(percent(accuracy), _between(*interval) if interval else "")


def difference(found: Difference | None) -> Cell:
    """A difference in points above its interval, with a star where it is significant."""
    if found is None:
        return Cell("–")
    mark = "*" if found.significant else ""
    below = "\u00a0to ".join(map(points, found.interval)) if found.interval else ""
    return Cell(points(found.mean) + mark, below)


def _between(low: float, high: float) -> str:
    """An interval, which no line break parts."""
    return f"{percent(low)}\u00a0to\u00a0{percent(high)}"


def points(difference: float) -> str:
    """A difference of shares in points, with its sign."""
    return f"{100 * difference:+.1f}".replace("-", "−")


def percent_order(value: float | None) -> float:
    """What decides which value is best: the shown digits, so that two equal texts are both bold."""
    return -1.0 if value is None else float(percent(value))


def _cell(row: Row, metric: str, values: Mapping[str, float], best: float) -> Cell:
    value = values.get(metric)
    below = ""
    if f"{metric}_low" in values:
        below = _between(values[f"{metric}_low"], values[f"{metric}_high"])
    worst = row.metrics.worst_class
    if metric == "worst_recall" and worst is not None:
        below = f"class “{worst.name}”"
    return Cell(percent(value), below, best=value is not None and percent_order(value) == best)


def parameter_sections(parameters: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Nested parameters as sections of (dotted name, value), those of the top level first; each entry with a name is
    one.
    """
    top = [(name, value) for name, value in parameters.items() if not isinstance(value, Mapping)]
    sections = [("", [(name, readable(value)) for name, value in top])] if top else []
    named = tuple(NAMED.values())
    nested = [(name, value) for name, value in parameters.items() if isinstance(value, Mapping) and name not in named]
    nested += [(f"{of}.{name}", value) for of in named for name, value in parameters.get(of, {}).items()]
    return sections + [(name, list(_flat(value))) for name, value in nested]


def _flat(parameters: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in parameters.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", readable(value)


def readable(value: Any) -> str:
    """A parameter as a person writes it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {readable(part)}" for name, part in value.items()) or "–"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(readable, value)) or "–"
    return "–" if value is None or value == "" else str(value)


def round_rows(rounds: Sequence[Round]) -> tuple[list[str], list[list[str]]]:
    """Heading and rows of the table of rounds: iterations, last loss, validation by task, of many tasks their mean. A
    training alone is none.
    """
    tasks = list(dict.fromkeys(name for r in rounds for name in r.validation))
    if len(tasks) > MANY_TASKS:
        tasks = [f"mean of {len(tasks)} tasks"]
        rounds = [
            replace(r, validation={tasks[0]: sum(r.validation.values()) / len(r.validation)}) if r.validation else r
            for r in rounds
        ]
    alone = len(rounds) < 2
    heading = [*([] if alone else ["round"]), "iterations", "final loss", *(f"validation: {name}, %" for name in tasks)]
    rows = [
        [
            *([] if alone else [f"{r.number} (selected)" if r.selected else str(r.number)]),
            f"{max(r.iterations):,}" if len(r.iterations) else "–",
            f"{r.loss[-1]:.4g}" if len(r.loss) else "–",
            *(percent(r.validation.get(name)) for name in tasks),
        ]
        for r in rounds
    ]
    return heading, rows
