"""What a report says in words: whether the leading model beats the baseline, and what its reader would ask next."""

from collections.abc import Iterator, Sequence

from longtail.metrics.significance import FEWEST, LEVEL
from longtail.report.content import Report, Row, Standing, TaskReport
from longtail.report.names import short
from longtail.report.tables import percent, points
from longtail.report.titles import rule_title
from longtail.rules.registry import ADJUSTED

UNIT = "mean per-class accuracy on test"


def verdict(report: Report) -> str:
    """Whether the leading model beats the baseline, by how much, and whether that is more than chance.

    Where the baseline leads itself, the best of the others takes the leading model's place: as the best of several was
    looked for, its p-value counts as often as there are others (Bonferroni).
    """
    known = [one for one in report.standings if one.accuracy is not None]
    if not known:
        return "No test image has a label, so nothing can be said of the models."
    over = f", the mean of {len(report.tasks)} tasks" if len(report.tasks) > 1 else ""
    lead, baseline = known[0], next((one for one in known if one.model == report.tasks[0].baseline), known[0])
    challenger = report.challenger
    if lead is baseline and challenger is None:
        interval = f" (95 % interval {_between(*lead.interval)})" if lead.interval else ""
        reached = f"{name(lead.model)} reaches {percent(lead.accuracy)} % in {UNIT}{over}{interval}"
        return f"{reached}. It stands alone: no baseline says whether that is much."
    fewest = fewest_of_a_class(report.tasks)
    few = f", as far as test images can tell of which a class has {fewest}" if fewest < FEWEST else ""
    if challenger is None:
        return _comparison(lead, baseline, over, few) + _task_by_task(report, lead.model)
    resamples = report.parameters.get("evaluate", {}).get("resamples", 0)
    said = _comparison(challenger, baseline, over, few, len(known) - 1, resamples)
    return said + _task_by_task(report, challenger.model)


def fewest_of_a_class(tasks: Sequence[TaskReport]) -> int:
    """How many independent test images the class has that has the fewest, of those that have any."""
    return min((one.groups for task in tasks for one in task.main.metrics.per_class if one.groups), default=0)


def _comparison(one: Standing, baseline: Standing, over: str, few: str, of: int = 1, resamples: int = 0) -> str:
    """`few`: what is to be said where test images are. `of`: so many models were looked at, and this is the best. No
    p-value of `resamples` is below 2 / (resamples + 1).
    """
    found = one.difference
    reached = baseline.accuracy if baseline.reference is None else baseline.reference
    gained = found.mean if found else (one.accuracy or 0.0) - (reached or 0.0)
    figures = f"{percent(one.accuracy)} % against {percent(reached)} % in {UNIT}{over}"
    by = f"{points(gained)} points"
    # As the tables call it: its head, less the log prior.
    kind = "adjusted baseline" if baseline.rule == ADJUSTED or baseline.reference is not None else "baseline"
    who, whom = name(one.model), f"the {kind} {name(baseline.model)}"
    if found is None:
        return f"Whether {who} beats {whom} is not known, since nothing was resampled: {figures} ({by})."
    if found.interval is None:
        return f"Whether {who} beats {whom} is not known, since all test images are of one group: {figures} ({by})."
    interval = f"{by}, 95 % interval{' of it alone' if of > 1 else ''} {' to '.join(map(points, found.interval))}"
    p, best = min(1.0, of * found.p), f", for the best of {of}" if of > 1 else ""
    if p >= LEVEL and resamples and found.p <= 2 / (resamples + 1):
        begun = f"Whether {who} beats {whom} is not known" if found.mean > 0 else f"{who} does not beat {whom}"
        enough = 10 * round(2 * of / LEVEL)  # ten times the fewest: a single one beyond 0 is not to decide
        return (
            f"{begun}: {figures} ({interval}), but {resamples} resamples are too few to tell it from chance{best}; "
            f"raise evaluate.resamples to {enough}."
        )
    if p >= LEVEL:
        return (
            f"{who} does not beat {whom}: {figures} ({interval}), which chance alone may explain (p = {p:.2f}{best})."
        )
    if found.mean > 0:
        return f"{who} beats {whom}: {figures} ({interval}), which is more than chance (p = {p:.2g}{best}){few}."
    return (
        f"{who} does not beat {whom}, it is worse: {figures} ({interval}), more than by chance (p = {p:.2g}{best})"
        f"{few}."
    )


def _task_by_task(report: Report, model: str) -> str:
    """In how many tasks a model is better or worse; empty of one task, or where nothing was resampled."""
    rows = [row for task in report.tasks for row in task.own_rows if row.model == model]
    found = [row.difference for row in rows if row.difference is not None]
    if len(report.tasks) < 2 or not found:
        return ""
    better = sum(one.significant and one.mean > 0 for one in found)
    worse = sum(one.significant and one.mean < 0 for one in found)
    return (
        f" Task by task it is better in {better}, worse in {worse}, and not to be told apart in "
        f"{len(found) - better - worse} (p < 0.05 in each, not corrected for their number)."
    )


def remarks(report: Report) -> list[str]:
    """Where the test subset is too small for the verdict, or a model falls clearly behind what it was trained from, or
    behind another rule of its own.
    """
    return [*_too_few(report.tasks), *_behind_their_start(report), *_behind_a_rule(report.tasks)]


def _too_few(tasks: Sequence[TaskReport]) -> Iterator[str]:
    """Classes of which the bootstrap, which draws groups, sees too few to know how much they vary."""
    for task in tasks:
        every = sorted(task.own_rows[0].metrics.per_class, key=lambda one: one.groups)
        if tiny := [one for one in every if 0 < one.groups < FEWEST]:
            named = ", ".join(f"{one.groups} of {name(one.name)}" for one in tiny[:3])
            more = f" and {len(tiny) - 3} more classes" if len(tiny) > 3 else ""
            where = f" of {name(task.name)}" if len(tasks) > 1 else ""
            yield (
                f"The test subset has few independent images{where}: {named}{more}. With fewer than {FEWEST} of a "
                "class, those of a group counting as one, intervals are too narrow, and a difference may be called "
                "more than chance that is not."
            )


def _behind_their_start(report: Report) -> Iterator[str]:
    standings = {one.model: one for one in report.standings}
    for model in report.models:
        one, start = standings.get(model.name), standings.get(model.after or "")
        if one and start and _clearly_below(one.interval, start.interval):
            lost = (start.accuracy or 0.0) - (one.accuracy or 0.0)
            yield (
                f"{name(model.name)} is {100 * lost:.1f} points below {name(start.model)}, from which it was trained: "
                f"{percent(one.accuracy)} % against {percent(start.accuracy)} % in {UNIT}. Its training lost more than "
                "it learned."
            )


def _behind_a_rule(tasks: Sequence[TaskReport]) -> Iterator[str]:
    """A sentence a model: of the task in which its own rule loses most, and in how many it loses."""
    found: dict[str, list[tuple[float, TaskReport, Row, Row]]] = {}
    for task in tasks:
        for own in task.own_rows:
            others = [row for row in task.rows if row.model == own.model and not row.own]
            best = max(others, key=_accuracy, default=None)
            if best and _clearly_below(_row_interval(own), _row_interval(best)):
                found.setdefault(own.model, []).append((_accuracy(best) - _accuracy(own), task, own, best))
    for model, lost in found.items():
        _, task, own, best = max(lost, key=lambda one: one[0])
        where = f" on {name(task.name)}" if len(tasks) > 1 else ""
        more = f" So it is in {len(lost)} of {len(tasks)} tasks." if len(tasks) > 1 else ""
        yield (
            f"{name(model)}: with the same embedding the {rule_title(best.rule)} reaches {percent(_accuracy(best))} %"
            f"{where}, and the {rule_title(own.rule)}, by which the model is reported, {percent(_accuracy(own))} %."
            f"{more}"
        )


def name(text: str) -> str:
    """A name that a user chose, as it stands in a sentence."""
    return short(text, 40)


def _accuracy(row: Row) -> float:
    return row.metrics.mean_class_accuracy or 0.0


def _row_interval(row: Row) -> Sequence[float] | None:
    return row.metrics.intervals.get("mean_class_accuracy")


def _clearly_below(one: Sequence[float] | None, other: Sequence[float] | None) -> bool:
    """Whether two intervals do not even touch; where nothing was resampled, that is not known."""
    return bool(one and other and one[1] < other[0])


def _between(low: float, high: float) -> str:
    return f"{percent(low)} to {percent(high)}"
