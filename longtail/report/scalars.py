"""The numbers of a report by name, as MLflow has them and as the step returns them."""

from collections.abc import Iterator

from longtail.report.content import MEAN, Report, TaskReport
from longtail.report.limits import MANY_TASKS
from longtail.report.operating_point import OperatingPoint

# The score by which models are compared: the mean over the classes of their recall.
HEADLINE = "mean_class_accuracy"


def row_scalars(report: Report) -> dict[str, float]:
    """Every metric of every row, with its interval, and what probabilities are worth; of many tasks none, since nobody
    finds one among so many names.
    """
    scalars: dict[str, float] = {}
    for page in report.tasks if len(report.tasks) <= MANY_TASKS else ():
        for row in page.rows:
            of_row = row.metrics.scalars()
            scalars |= {f"{page.name}/{row.model}/{row.rule}/{name}": value for name, value in of_row.items()}
        if page.operating:
            scalars |= {f"{page.name}/{name}": value for name, value in _of_operating_point(page.operating)}
    return scalars


def _of_operating_point(point: OperatingPoint) -> Iterator[tuple[str, float]]:
    """Calibration before and after the temperature, accuracy under test priors, and what prediction sets hold."""
    for one in point.calibration:
        name = f"{one.model}/{one.rule}"
        if one.temperature is not None:
            yield f"{name}/temperature", one.temperature
        for when, found in (("", one.before), ("_at_temperature", one.after)):
            if found:
                yield f"{name}/ece{when}", found.ece
                yield f"{name}/nll{when}", found.nll
    for shifted in point.under_priors:
        for prior, accuracy in shifted.accuracy.items():
            yield f"{shifted.model}/{shifted.key}/accuracy_{prior.replace(' ', '_')}", accuracy
    for model, kinds in point.sets.items():
        for kind, sets in kinds.items():
            yield f"{model}/sets_{kind}/mean_class_coverage", sets.mean_class_coverage
            yield f"{model}/sets_{kind}/size", sets.size


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
