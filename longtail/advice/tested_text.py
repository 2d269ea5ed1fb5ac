"""What the test subset can tell, in words."""

from collections.abc import Iterator

from longtail.advice.advice import SEEDS, Advice
from longtail.advice.detectable import FEWEST
from longtail.advice.tested import TaskTold
from longtail.advice.words import counted, most_of, named, points


def tested(found: Advice) -> Iterator[str]:
    """For each task the smallest difference in the mean and in its classes, and what that rests on."""
    if not any(task.smallest for task in found.told):
        yield "  NOTHING: no comparison on this test subset means anything. Collect images first."
    yield "  The smallest difference between two methods that is told from none, 80 times in 100 (p < 0.05)."
    for task in found.told[: most_of(found.told)]:
        yield from _task(task, found)
    if len(found.told) > 1:
        said = "nothing" if found.mean is None else points(found.mean)
        yield f"  mean of all {len(found.told)} tasks, {SEEDS} seeds: {said}, were their gains independent"


def _task(task: TaskTold, found: Advice) -> Iterator[str]:
    if task.smallest is None:
        yield (
            f"  {named(task.name)}, mean of its classes: nothing can be told; methods would differ in fewer than "
            f"{FEWEST} test images, or every image in which they differ would have to favour one"
        )
    else:
        seeds = ", ".join(f"with {count} {points(least)}" for count, least in task.seeds.items() if least is not None)
        yield f"  {named(task.name)}, mean of its classes: {points(task.smallest)} by one training of each; over seeds, {seeds}"
    few, rest = found.near.task(task.name).discordance
    yield (
        f"    assumed, as in {found.near.table.name}: one of two methods alone is right in {100 * few:.0f} % of the test images of "
        f"minority classes and {100 * rest:.0f} % of others;{_groups(task, found)} a spread over seeds of {points(task.spread)}"
    )
    if task.untested:
        yield f"    without a test image: {', '.join(map(named, task.untested[:10]))}"
    for one in [one for one in task.classes if one.images][:10]:
        said = "no difference" if one.smallest is None else f"{points(one.smallest)}"
        yield f"    {said:>14}  {named(one.name)}: {counted(one.images, 'test image')}{_worth(one.worth, one.images)}"
    if len(task.classes) > 10:
        yield f"    … and {len(task.classes) - 10:,} classes with more (--json has all)"


def _groups(task: TaskTold, found: Advice) -> str:
    facts = next(one for one in found.facts.tasks if one.name == task.name)
    if all(one.test == one.test_groups for one in facts.classes):
        return ""
    of = "nobody knows, so a group counts as one" if task.likeness == 1 else f"correlated by {task.likeness:.2f}"
    return f" the gains of images of a group {of};"


def _worth(worth: float, images: int) -> str:
    return f", worth {worth:.0f} independent ones" if round(worth) != images else ""
