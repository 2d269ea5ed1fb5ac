"""What the test subset can tell, in words."""

from collections.abc import Iterator

from longtail.advice.advice import SEEDS, Advice
from longtail.advice.detectable import POWER
from longtail.advice.facts import EVEN, TaskFacts
from longtail.advice.nearest import Near
from longtail.advice.tested import TaskTold, Told
from longtail.advice.words import FEW, NAMED, all_named, named, points
from longtail.sources.quoting import counted

TINY = 10  # test images, from which on simulated test subsets agree with what is told


def tested(found: Advice) -> Iterator[str]:
    """For each task the smallest difference in the mean and in its classes, and what that rests on."""
    if found.useless:
        yield (
            f"  NOTHING in the mean of the classes: no method, on any data set that was measured, gained more than "
            f"{points(found.largest)} over adjusted cross-entropy, and that is too little to be told here"
        )
    yield (
        "  Of a difference between two methods it says how large it must be to be told from chance (p < 0.05) in "
        f"{100 * POWER:.0f} of 100 test subsets; smaller ones are told less often. Several seeds, each a division and "
        "a training anew, must agree too, which three can say of large differences alone."
    )
    for task, facts in zip(found.told, found.facts.tasks, strict=True):
        yield from _task(task, facts, found)
    if len(found.told) > 1:
        said = "no difference" if found.mean is None else points(found.mean)
        yield f"  mean of all {len(found.told)} tasks, {SEEDS} seeds: {said}, were the gains of tasks independent"
    if len(found.told) > FEW:
        yield "  (--json has what is assumed of each, and every class)"


def _task(task: TaskTold, facts: TaskFacts, found: Advice) -> Iterator[str]:
    classes = [one for one in task.classes if one.images]
    yield f"  {named(task.name)}, mean of its classes: {_mean(task, found)}"
    if tiny := [one for one in task.classes if 0 < one.worth < TINY]:
        yield (
            f"    {counted(len(tiny), 'class has', 'classes have')} fewer than {TINY} independent test images: of so "
            "few the intervals of a report are too narrow, and call differences significant that are chance"
        )
    if task.untested:
        yield f"    no test image, so not in the mean: {all_named(task.untested)}"
    if len(found.told) > FEW:
        yield from map(_class, classes[:1])
        return
    yield f"    assumed: {_assumed(task, facts, found.near)}"
    most = NAMED // len(found.told)
    yield from map(_class, classes[:most])
    if len(classes) > most:
        yield f"    … and {counted(len(classes) - most, 'class', 'classes')} with as many or more (--json has all)"


def _class(one: Told) -> str:
    said = "no difference" if one.smallest is None else f"differences of {points(one.smallest)}"
    worth = f", worth {one.worth:.0f} independent ones" if round(one.worth) < one.images else ""
    return (
        f"    {named(one.name)}: {counted(one.images, 'test image')}{worth}, which tell {said}, and the accuracy of "
        f"one model to ±{points(one.margin)}"
    )


def _mean(task: TaskTold, found: Advice) -> str:
    once = "nothing" if task.smallest is None else points(task.smallest)
    seeds = [f"{count} seeds {_over(least)}" for count, least in task.seeds.items()]
    subsets = "" if found.facts.test_is_official else ", in which rare images come again"
    same = "on the same test images" if found.facts.test_is_official else "each with a test subset of its own"
    return f"{once} by one training of each method; {', '.join(seeds)} ({same}{subsets})"


def _over(least: float | None) -> str:
    return "none" if least is None else f"{100 * least:.1f}"


def _assumed(task: TaskTold, facts: TaskFacts, near: Near) -> str:
    few, rest = (100 * share for share in near.task(task.name).discordance)
    share = f"{few:.0f} % of the test images of classes smaller than average, and in {rest:.0f} % of others"
    if facts.ratio < EVEN:
        share = f"{(few + rest) / 2:.0f} % of the test images"
    groups = ""
    if any(one.test > one.test_groups for one in facts.classes):
        of = "images are all alike" if task.likeness == 1 else f"the correlation is {task.likeness:.2f}"
        groups = f"; within groups {of}"
    guess = ": a guess, since that is far" if near.far else ""
    return (
        f"two methods disagree, one alone is right, in {share}{groups}; from seed to seed their difference spreads by "
        f"{points(task.spread)} more (as in {near.table.name}{guess})"
    )
