"""All tasks side by side: their table, and what a model gains over the baseline in each."""

from collections.abc import Sequence

from longtail.data.imbalance import imbalance_level
from longtail.report.content import Row, Standing, TaskReport
from longtail.report.tables import Cell, difference, headline, percent, shown_rows
from longtail.report.titles import row_title


def compared_rows(task: TaskReport) -> tuple[Row, Row] | None:
    """The row that is set against the baseline's, which is the second: the leading one's or, where the baseline leads,
    its challenger's; None of one model alone.
    """
    if task.rival is None:
        return None
    return (task.rival, task.main) if task.main.model == task.baseline else (task.main, task.rival)


def task_rows(tasks: Sequence[TaskReport], means: Sequence[Standing] = ()) -> tuple[list[str], list[list[Cell]]]:
    """Heading and rows of the table of all tasks (LMLE, Table 2), the least imbalanced first: mean per-class accuracy
    of each model by its own rule, the difference to the baseline of the one that is set against it, and the accuracy
    by other rules; the last row has the means.

    Intervals stand below the rows of models; that of the mean, and its difference, come from `means`.
    """
    if not tasks:
        return [], []
    shown = [(row_title(row, task), row.own) for task in tasks for row in shown_rows(task)]
    own, others = (list(dict.fromkeys(title for title, mine in shown if mine is wanted)) for wanted in (True, False))
    others = [title for title in others if title not in own]
    compared = next((pair[0].model for task in tasks if (pair := compared_rows(task))), None)
    rows = [
        [
            Cell(task.name),
            _imbalance(task),
            *_scores(task, own),
            *([_gain(task, compared)] if compared else []),
            *_scores(task, others),
        ]
        for task in sorted(tasks, key=_by_imbalance)
    ]
    gain = [f"{compared} to {tasks[0].baseline_title}, points"] if compared else []
    mean = [
        Cell("mean"),
        Cell(""),
        *_mean_scores(tasks, own, means),
        *([_mean_gain(means, compared)] if compared else []),
        *_mean_scores(tasks, others, means),
    ]
    return ["task", "imbalance", *own, *gain, *others], [*rows, mean]


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


def _mean_scores(tasks: Sequence[TaskReport], titles: Sequence[str], means: Sequence[Standing]) -> list[Cell]:
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
    return cells


def _mean_gain(means: Sequence[Standing], model: str) -> Cell:
    return difference(next((one.difference for one in means if one.model == model), None))


def _by_imbalance(task: TaskReport) -> tuple[bool, float]:
    return task.imbalance.IR is None, task.imbalance.IR or 0.0


def _imbalance(task: TaskReport) -> Cell:
    level = imbalance_level(task.counts["train"])
    return Cell(ratio_text(task.imbalance.IR), "" if level is None else f"level {level:.0f}")


def ratio_text(ratio: float | None) -> str:
    """How many times as large as its smallest class a task's largest is; None: a class is empty."""
    return f"{'∞' if ratio is None else round(ratio)} : 1"


def _compared_accuracy(row: Row, task: TaskReport) -> float | None:
    """Of the baseline that by the rule by which others are compared with it."""
    of_reference = task.reference_of(row)
    return row.metrics.mean_class_accuracy if of_reference is None else of_reference


def compared_title(row: Row, task: TaskReport) -> str:
    """How the row is called where `_compared_accuracy` compares it."""
    return row_title(row, task) if task.reference_of(row) is None else task.baseline_title


def gain_rows(tasks: Sequence[TaskReport]) -> list[tuple[str, float | None, float]]:
    """Task, imbalance ratio (None: an empty class), and what the model that is set against the baseline gains over it,
    in [−1, 1]; the least imbalanced first. Tasks of one model alone, or without test samples, are out.
    """
    found = []
    for task in sorted(tasks, key=_by_imbalance):
        if pair := compared_rows(task):
            mine, other = (_compared_accuracy(row, task) for row in pair)
            if mine is not None and other is not None:
                found.append((task.name, task.imbalance.IR, mine - other))
    return found
