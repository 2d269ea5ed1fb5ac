"""What `longtail advise` prints: text for people, JSON for programs."""

from collections.abc import Iterator
from typing import Any

from pydantic import TypeAdapter

from longtail.advice.advice import Advice
from longtail.advice.collect import Collection
from longtail.advice.told_contents import contents
from longtail.advice.told_ladder import ladder, nearest
from longtail.advice.told_tested import tested
from longtail.advice.words import NAMED, all_named, named, points, wrapped
from longtail.metrics.scores import PUBLISHED

_JSON: TypeAdapter[Advice] = TypeAdapter(Advice)


def values(found: Advice) -> str:
    """JSON, everything in it."""
    return _JSON.dump_json(found, indent=1).decode()


def schema() -> dict[str, Any]:
    """The JSON schema of `values`."""
    return _JSON.json_schema(mode="serialization")


def text(found: Advice) -> str:
    """For people: what is in the data, what can be told by it, what to try, what to collect."""
    parts = {
        "What is in it": contents(found),
        "What the test subset can tell, before anything is trained": tested(found),
        "The nearest data set that was measured": nearest(found),
        "The ladder: climb it, and stop where the report cannot tell a step from the best one below": ladder(found),
        "What to collect next": _collect(found),
    }
    return "\n\n".join("\n".join([title, *map(wrapped, lines)]) for title, lines in parts.items())


def _collect(found: Advice) -> Iterator[str]:
    for one in found.collect:
        if one.wanted:
            yield from _wanted(one, found)
    if enough := [one for one in found.collect if not one.wanted]:
        told = f"{points(enough[0].difference)} in each class can be told"
        yield f"  {all_named([one.task for one in enough])}: nothing; {told}"


def _wanted(one: Collection, found: Advice) -> Iterator[str]:
    share = f"of which the split takes {100 * found.facts.shares['test']:.0f} % to test"
    divided = "put into the subsets as said" if found.facts.test_is_official else share
    yield (
        f"  {named(one.task)}: images to label, {divided}, to tell {points(one.difference)} in each class and have "
        f"{PUBLISHED.few} training images of each; first what makes the mean most uncertain"
    )
    for class_ in one.wanted[:NAMED]:
        few = f", at least {class_.train:,} for training" if class_.train else ""
        yield (
            f"    {class_.images:>7,} of {named(class_.name)}: {class_.test:,} for test{few} "
            f"({100 * class_.share:.0f} % of the uncertainty of the mean)"
        )
    if len(one.wanted) > NAMED:
        yield f"    … and {len(one.wanted) - NAMED:,} more classes (--json has all)"
    if one.smallest is not None:
        yield f"    with all of them {points(one.smallest)} in the mean are told by one training of each"
