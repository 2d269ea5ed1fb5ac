"""All tasks side by side: their table, and what the leading model gains in each."""

from collections.abc import Sequence

from longtail.data.imbalance import imbalance_level
from longtail.report.content import Row, Standing, TaskReport
from longtail.report.tables import Cell, difference, headline, percent, shown_rows
from longtail.report.titles import row_title


def task_rows(tasks: Sequence[TaskReport], means: Sequence[Standing] = ()) -> tuple[list[str], list[list[Cell]]]:
    """Heading and rows of the table of all tasks (LMLE, Table 2): mean per-class accuracy of each row, its mean, and
    the leading model's difference to the baseline, or the baseline's rival's.

    Binary tasks come first, by their imbalance level; then the others, by the ratio of their largest class to the
    smallest. Intervals stand below the rows of models; that of the mean, and its difference, come from `means`.
    """
    titles = list(dict.fromkeys(row_title(row, task) for task in tasks for row in shown_rows(task)))
    compared = next((model for task in tasks if (model := _compared(task))), None)
    rows = [
        [
            Cell(tasks[place].name),
            Cell(_imbalance(tasks[place])),
            *_scores(tasks[place], titles),
            *([_gain(tasks[place], compared)] if compared else []),
        ]
        for place in sorted(range(len(tasks)), key=lambda place: _by_imbalance(tasks[place]))
    ]
    heading = ["task", "imbalance", *titles]
    if compared:
        heading.append(f"{compared} to {tasks[0].baseline_title}, points")
    return heading, [*rows, _mean_row(tasks, titles, means, compared)] if tasks else []


def _compared(task: TaskReport) -> str | None:
    """The model whose difference to the baseline is shown."""
    rows = [row for row in task.own_rows if row.model != task.baseline]
    return rows[0].model if rows else None


def _scores(task: TaskReport, titles: Sequence[str]) -> list[Cell]:
    rows = {row_title(row, task): row for row in shown_rows(task)}
    found = [rows.get(title) for title in titles]
    return [
        headline(row.metrics.mean_class_accuracy, row.metrics.intervals.get("mean_class_accuracy") if row.own else None)
        if row
        else Cell("–")
        for row in found
    ]


def _gain(task: TaskReport, model: str) -> Cell:
    return difference(next((row.difference for row in task.own_rows if row.model == model), None))


def _mean_row(
    tasks: Sequence[TaskReport], titles: Sequence[str], means: Sequence[Standing], compared: str | None
) -> list[Cell]:
    by_model = {one.model: one for one in means}
    cells = []
    for title in titles:
        rows = [row for task in tasks for row in shown_rows(task) if row_title(row, task) == title]
        # A rule of binary tasks has no mean that could stand beside those over all tasks.
        everywhere = rows if len(rows) == len(tasks) else []
        values = [row.metrics.mean_class_accuracy for row in everywhere if row.metrics.mean_class_accuracy is not None]
        standing = by_model.get(rows[0].model) if rows[0].own else None
        cells.append(
            headline(standing.accuracy, standing.interval)
            if standing
            else Cell(percent(sum(values) / len(values) if values else None))
        )
    if compared:
        cells.append(difference(by_model[compared].difference if compared in by_model else None))
    return [Cell("mean"), Cell(""), *cells]


def _by_imbalance(task: TaskReport) -> tuple[bool, float]:
    level = imbalance_level(task.counts["train"])
    return level is None, task.imbalance.IR or 0.0 if level is None else level


def _imbalance(task: TaskReport) -> str:
    level = imbalance_level(task.counts["train"])
    return f"{task.imbalance.IR or 0:.0f} : 1" if level is None else f"level {level:.0f}"


def _compared_accuracy(row: Row, task: TaskReport) -> float | None:
    """Of the baseline that by the rule by which others are compared with it."""
    of_reference = task.reference_of(row)
    return row.metrics.mean_class_accuracy if of_reference is None else of_reference


def compared_title(row: Row, task: TaskReport) -> str:
    """How the row is called where `_compared_accuracy` compares it."""
    return row_title(row, task) if task.reference_of(row) is None else task.baseline_title


def gain_rows(tasks: Sequence[TaskReport]) -> list[tuple[str, float | None, float]]:
    """Task, imbalance ratio (None: an empty class), and what the leading model gains over its rival, in [−1, 1]; the
    least imbalanced first. Tasks without a rival, or without test samples, are out.
    """
    found = []
    for task in tasks:
        if task.rival is not None:
            mine, other = (_compared_accuracy(row, task) for row in (task.main, task.rival))
            if mine is not None and other is not None:
                found.append((task.name, task.imbalance.IR, mine - other))
    return sorted(found, key=lambda row: (row[1] is None, row[1] or 0.0))
