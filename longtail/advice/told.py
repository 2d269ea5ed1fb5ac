"""What `longtail advise` prints: text for people, JSON for programs."""

from collections.abc import Iterator
from typing import Any

from pydantic import TypeAdapter

from longtail.advice.advice import SEEDS, Advice
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
        "In short": _in_short(found),
        "What is in it": contents(found),
        "What the test subset can tell, before anything is trained": tested(found),
        "The nearest data set that was measured": nearest(found),
        "The ladder: climb it while the report tells a step from the best before it": ladder(found),
        "What to collect next": _collect(found),
    }
    return "\n\n".join("\n".join([title, *map(wrapped, lines)]) for title, lines in parts.items())


def _in_short(found: Advice) -> Iterator[str]:
    """What to do now."""
    if found.facts.fault is not None:
        yield (
            "  These data cannot be divided yet: `longtail split` says below why. Merge the classes that it names, "
            "leave them out, collect images of them, or set `split.rare_classes: background`; then ask again. The rest "
            f"is as if they were divided {found.facts.divided}."
        )
        return
    if found.useless:
        yield (
            "  No method can be compared with another yet, there are too few test images. Collect what the last part "
            f"names, divide all images anew, and ask again. Until then {_first(found)}, and claim its accuracies with "
            "the margins below, and no gain."
        )
        return
    told = found.told[0].seeds[SEEDS] if len(found.told) == 1 else found.mean
    said = "" if told is None else f", which tells {points(told)} in the mean of the classes with {SEEDS} seeds"
    more = "; classes that need more images are named in the last part" if any(c.wanted for c in found.collect) else ""
    yield f"  Compare methods on this test subset{said}. To begin with, {_first(found)}{more}."


def _first(found: Advice) -> str:
    even = " (the classes are even, so that is all)"
    answered = even if found.plan.even else ", and answer by step 2, its adjusted head"
    return f"train step 1 of the ladder, {found.plan.steps[0].name}{answered}"


def _collect(found: Advice) -> Iterator[str]:
    for one in found.collect:
        if one.wanted:
            yield from _wanted(one, found)
    if enough := [one for one in found.collect if not one.wanted]:
        told = f"{points(enough[0].difference)} in each class can be told"
        yield f"  {all_named([one.task for one in enough])}: nothing; {told}"
    if any(one.wanted for one in found.collect):
        yield (
            "  then `longtail ingest`, `longtail split` and this command again; of a class that cannot have them "
            "claim nothing"
        )


def _wanted(one: Collection, found: Advice) -> Iterator[str]:
    share = f"of which the split takes {100 * found.facts.shares['test']:.0f} % to test"
    divided = "put into the subsets as said" if found.facts.test_is_official else share
    yield (
        f"  {named(one.task)}: images to label, {divided}, to tell {points(one.difference)} in each class "
        f"(--difference) and have {PUBLISHED.few} training images of each; first what makes the mean most uncertain"
    )
    for class_ in one.wanted[:NAMED]:
        few = f", {class_.train:,} or more to train" if class_.train else ""
        yield (
            f"    {class_.images:>7,} more of {named(class_.name)}, of them {class_.test:,} to test{few}; "
            f"{100 * class_.share:.0f} % of the uncertainty of the mean is in this class"
        )
    if len(one.wanted) > NAMED:
        yield f"    … and {len(one.wanted) - NAMED:,} more classes (--json has all)"
    for part, smallest in one.smallest.items():
        if smallest is not None:
            said = "all" if part == 1 else f"{100 * part:.0f} %"
            yield f"    with {said} of them {points(smallest)} in the mean are told by one training of each method"
