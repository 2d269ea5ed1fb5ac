"""What the nearest table said, and the ladder, in words."""

from collections.abc import Iterator

from longtail.advice.advice import Advice
from longtail.advice.ladder import ADJUSTED_STEP, PLAIN_STEP, Plan, Step
from longtail.advice.nearest import Near
from longtail.advice.words import FEW, named
from longtail.sources.quoting import counted


def nearest(found: Advice) -> Iterator[str]:
    """The nearest table, and how far it is."""
    near, table = found.near, found.near.table
    network = f"{table.backbone} {'from pretrained weights' if table.pretrained else 'from scratch'}"
    budget = f"{table.image_passes:,} image passes, {counted(table.seeds, 'seed')}"
    yield f"  {table.title} ({table.name})"
    yield f"  {table.side} pixels, {network}{', features stored' * table.frozen}, {budget}"
    for task in found.facts.tasks if len(found.facts.tasks) <= FEW else ():
        like = near.task(task.name)
        yield (
            f"  {named(task.name)} is compared with its {named(near.tasks[task.name])}: "
            f"{counted(like.classes, 'class', 'classes')}, {like.train:,} training images, 1:{like.IR:.0f}; adjusted "
            f"cross-entropy had {like.accuracy:.1f} %"
        )
    others = ", ".join(f"{name} {distance:.1f}" for name, distance in found.others.items())
    yield (
        f"  distance {near.distance:.1f}: 1 for every factor of ten between their images, classes, imbalance ratios, "
        f"sides or tasks, and 1 if one alone begins with pretrained weights (others: {others})"
    )
    if near.far:
        yield "  this is far: take what follows from it as a hint and no more"
    yield f"  measured by `{table.command}`, commit {', '.join(table.commits)}"


def ladder(found: Advice) -> Iterator[str]:
    """The steps, each with why and what it gained, and which is expected to be the best."""
    plan = found.plan
    if found.useless and not plan.even:
        yield "  for later: on this test subset no step can be told from another"
    yield f"  every step is trained for {plan.image_passes:,} image passes, in mini-batches of {plan.batch}"
    if plan.even:
        yield "  the classes are nearly even: there is no imbalance to correct, so the first step is all"
    else:
        yield (
            f"  gains and losses are against step 2 in {found.near.table.name}, not on your images: points of mean "
            "per-class accuracy, in brackets their 95 % intervals"
        )
    for number, step in enumerate(plan.steps, 1):
        yield f"  {number}. {step.name}: {step.how}"
        if not plan.even:
            yield f"     {_gain(step, found.near)}"
    yield f"  expected to be best: {_expected(plan, found)}"


def _gain(step: Step, near: Near) -> str:
    if step.name == ADJUSTED_STEP:
        return "costs no training, and is what all that follows has to beat"
    if step.gain is None:
        return f"{near.table.name} has not measured it"
    gain = step.gain
    what = "a gain" if gain.mean > 0 else "a loss"
    told = f"{what} beyond chance" if gain.significant else "may be a gain or a loss"
    left = "" if step.tried or step.name == PLAIN_STEP else "; left out of the experiment"
    return f"{gain.mean:+.1f} [{gain.low:+.1f}, {gain.high:+.1f}], {told}{left}"


def _expected(plan: Plan, found: Advice) -> str:
    if found.useless:
        return "nobody can say: this test subset would not show it"
    if plan.even:
        return f"{plan.expected}; nothing is to be corrected"
    if plan.expected == ADJUSTED_STEP:
        return f"{plan.expected}; no other step was above it in that table beyond chance"
    return f"{plan.expected}; it was above step 2 in that table beyond chance"
