"""What `longtail advise` prints: text for people, JSON for programs."""

import json
from collections.abc import Iterator
from typing import Any

from pydantic import TypeAdapter

from longtail.advice.advice import Advice
from longtail.advice.collect import Collection
from longtail.advice.facts import Facts, TaskFacts
from longtail.advice.ladder import ADJUSTED_STEP, PLAIN_STEP, Plan, Step
from longtail.advice.nearest import Near
from longtail.advice.tested_text import tested
from longtail.advice.words import counted, most_of, named, points

_JSON: TypeAdapter[Advice] = TypeAdapter(Advice)


def values(found: Advice) -> str:
    """JSON, everything in it; an infinite measure is null."""
    return json.dumps(_JSON.dump_python(found, mode="json"), indent=1, ensure_ascii=False)


def schema() -> dict[str, Any]:
    """The JSON schema of `values`."""
    return _JSON.json_schema(mode="serialization")


def text(found: Advice) -> str:
    """For people: what is in the data, what can be told by it, what to try, what to collect."""
    parts = {
        "What is in it": _contents(found),
        "What the test subset can tell, before anything is trained": tested(found),
        "The nearest data set that was measured": _nearest(found.near, found),
        "The ladder: climb it, and stop where the report cannot tell a step from the best one below": _ladder(found),
        "What to collect next": _collect(found),
    }
    return "\n\n".join("\n".join([title, *lines]) for title, lines in parts.items())


def _contents(found: Advice) -> Iterator[str]:
    facts = found.facts
    height, width, channels = facts.shape
    yield (
        f"  {counted(facts.images, 'image')} of {counted(facts.groups, 'group')}, {height}×{width} "
        f"{'grey' if channels == 1 else 'colour'}; divided {facts.divided}"
    )
    if facts.fault is not None:
        yield f"  `longtail split` refuses it: {facts.fault}"
    for task in facts.tasks:
        yield from _task(facts, task)
    yield f"  {_copies(facts)}"
    yield f"  {_pretraining(found)}"


def _task(facts: Facts, task: TaskFacts) -> Iterator[str]:
    sizes = sorted(task.classes, key=lambda one: one.train)
    yield (
        f"  {named(task.name)}: {counted(len(task.classes), 'class', 'classes')}, "
        f"{counted(task.train, 'labelled training image')}, from {sizes[-1].train:,} ({named(sizes[-1].name)}) down to "
        f"{sizes[0].train:,} ({named(sizes[0].name)})"
    )
    minority = f"; {task.imbalance.m} of them smaller than average" if task.imbalance.m else ""
    yield (
        f"    imbalance ratio 1:{task.ratio:.0f}, balance deviation {task.imbalance.BD:.2f} (0: even, 1: as uneven as "
        f"can be){minority}"
    )
    if task.missing:
        yield f"    {100 * task.missing:.0f} % of the images have no label"
    yield f"    {_granularity(facts, task)}"


def _granularity(facts: Facts, task: TaskFacts) -> str:
    fine = task.granularity
    if fine is None:
        return "how fine its classes are cannot be measured: that takes two classes, and one of two images"
    pair = f"; hardest to tell: {' and '.join(map(named, fine.pairs[0].classes))}" if fine.pairs else ""
    by = f"by {facts.by} of {counted(task.compared, 'image')}"
    return (
        f"granularity {fine.rankm:.2f} {by} (0: classes lie apart, {fine.chance:.2f}: as labels drawn at random){pair}"
    )


def _copies(facts: Facts) -> str:
    if facts.copies is None:
        return (
            "near-duplicates were not looked for: too many images for a quick look, or too few; `longtail audit` looks"
        )
    pairs, across = facts.copies
    if not pairs:
        return "no near-duplicates in different groups"
    return (
        f"{counted(pairs, 'pair')} of near-duplicates in different groups, {across:,} across subsets, which make the test "
        "too easy: `longtail audit` names them"
    )


def _pretraining(found: Advice) -> str:
    if found.pretraining is None:
        return "similarity to the pretraining is not known: it takes the features of both, --features and --pretraining"
    distance, similarity = found.pretraining
    return f"similarity to the pretraining {similarity:.3f} (1: the same), distance {distance:.1f}"


def _nearest(near: Near, found: Advice) -> Iterator[str]:
    table = near.table
    network = f"{table.backbone}, {'from pretrained weights' if table.pretrained else 'from scratch'}"
    yield f"  {table.title} ({table.name})"
    yield f"  {table.side} pixels, {network}, {table.image_passes:,} image passes, {counted(table.seeds, 'seed')}"
    for task in found.facts.tasks[: most_of(found.facts.tasks)]:
        like = near.task(task.name)
        yield (
            f"  for {named(task.name)} its {near.tasks[task.name]!r}: {counted(like.classes, 'class', 'classes')}, "
            f"{like.train:,} training images, 1:{like.IR:.0f}; adjusted cross-entropy had {like.accuracy:.1f} %"
        )
    others = ", ".join(f"{name} {distance:.1f}" for name, distance in found.others.items())
    yield f"  distance {near.distance:.1f}: 1 for every factor of ten between two figures (others: {others})"
    if near.far:
        yield "  this is far: what follows from it is a hint and no more"
    yield f"  `{table.command}`, commit {', '.join(table.commits)}"


def _ladder(found: Advice) -> Iterator[str]:
    plan = found.plan
    yield f"  mini-batches of {plan.batch}, {plan.image_passes:,} image passes for every step"
    if plan.even:
        yield "  the classes are nearly even: there is no imbalance to correct, so the first step is all"
    else:
        yield "  gains are points of mean per-class accuracy over step 2 in the nearest table, 95 % intervals"
    for number, step in enumerate(plan.steps, 1):
        yield f"  {number}. {step.name}: {step.how}"
        yield f"     {_gain(step, found.near)}"
    yield f"  expected to be best: {plan.expected}; {_why(plan)}"


def _gain(step: Step, near: Near) -> str:
    if step.name == ADJUSTED_STEP:
        return "costs nothing, and is what all that follows has to beat"
    if step.gain is None:
        return f"{near.table.name} has not measured it"
    gain = step.gain
    told = "more than chance" if gain.significant else "not more than chance"
    left = "" if step.tried or step.name == PLAIN_STEP else "; left out of the experiment"
    return f"{gain.mean:+.1f} [{gain.low:+.1f}, {gain.high:+.1f}], {told}{left}"


def _why(plan: Plan) -> str:
    if plan.even:
        return "nothing is to be corrected"
    if plan.expected == ADJUSTED_STEP:
        return "no other step was above it there by more than chance"
    return "it was above step 2 there by more than chance"


def _collect(found: Advice) -> Iterator[str]:
    for one in found.collect:
        if not one.wanted:
            yield f"  {named(one.task)}: nothing; {points(one.difference)} in each class can be told"
            continue
        yield from _wanted(one, found)


def _wanted(one: Collection, found: Advice) -> Iterator[str]:
    divided = "into test and training" if found.facts.test_is_official else "which the split divides"
    yield (
        f"  {named(one.task)}: to tell {points(one.difference)} in each class, and have 20 training images of each, "
        f"{divided}; those first that make the mean most uncertain"
    )
    for class_ in one.wanted[: most_of(one.wanted)]:
        few = f", {class_.train:,} more for training" if class_.train else ""
        yield (
            f"    {class_.images:>7,} of {named(class_.name)}: {class_.test:,} more to test{few} "
            f"({100 * class_.share:.0f} % of the uncertainty of the mean)"
        )
    if len(one.wanted) > most_of(one.wanted):
        yield f"    … and {len(one.wanted) - most_of(one.wanted):,} more classes (--json has all)"
    if one.smallest is not None:
        yield f"    then {points(one.smallest)} in the mean can be told by one test subset"
