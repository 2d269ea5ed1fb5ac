"""The numbers of a report by name, as MLflow has them and as the step returns them."""

from longtail.report.content import MEAN, Report, TaskReport
from longtail.report.limits import MANY_TASKS

# The score by which models are compared: the mean over the classes of their recall.
HEADLINE = "mean_class_accuracy"


def row_scalars(report: Report) -> dict[str, float]:
    """Every metric of every row, with its interval; of many tasks none, since nobody finds one among so many names."""
    tasks = report.tasks if len(report.tasks) <= MANY_TASKS else ()
    return {
        f"{page.name}/{row.model}/{row.rule}/{name}": value
        for page in tasks
        for row in page.rows
        for name, value in row.metrics.scalars().items()
    }


def step_scalars(report: Report) -> dict[str, float]:
    """All of the leading row, and how the others compare: of many tasks by each model's own rule alone."""
    scalars: dict[str, float] = {}
    for page in report.tasks:
        scalars |= _of_task(page, many=len(report.tasks) > MANY_TASKS)
    for one in report.means:
        found = {HEADLINE: one.accuracy, "difference": one.difference.mean if one.difference else None}
        scalars |= {f"{MEAN}/{one.model}/{name}": value for name, value in found.items() if value is not None}
    lead = report.means[0].accuracy if report.means else None
    return scalars if lead is None else scalars | {f"{MEAN}/{HEADLINE}": lead}


def _of_task(page: TaskReport, *, many: bool) -> dict[str, float]:
    scalars: dict[str, float] = {}
    for row in page.own_rows if many else page.rows:
        if row.metrics.mean_class_accuracy is not None:
            scalars[f"{page.name}/{row.model}/{row.rule}/{HEADLINE}"] = row.metrics.mean_class_accuracy
        if row.difference is not None:
            scalars[f"{page.name}/{row.model}/difference"] = row.difference.mean
    # Under names without the model's, by which pipelines are compared whatever their trainings are called.
    main = page.main.metrics.scalars()
    shown = [name for name in main if name == HEADLINE or not (many or name.endswith(("_low", "_high")))]
    return scalars | {f"{page.name}/{name}": main[name] for name in shown}
