"""What is in a data set, in words."""

from collections.abc import Iterator

from longtail.advice.advice import Advice
from longtail.advice.experiment import LEAST_SIDE
from longtail.advice.facts import FINE, ClassFacts, Facts, TaskFacts
from longtail.advice.words import FEW, named, percent
from longtail.sources.quoting import counted


def contents(found: Advice) -> Iterator[str]:
    """Its images and subsets, its tasks, and what is there twice."""
    facts = found.facts
    height, width, channels = facts.shape
    yield (
        f"  {counted(facts.images, 'image')}, {_grouped(facts)}, {height}×{width} "
        f"{'grey' if channels == 1 else 'colour'}; divided {facts.divided}"
    )
    if facts.fault is not None:
        yield f"  `longtail split` refuses it: {facts.fault}"
    yield from (f"  {named(name)} is left out: {why}" for name, why in facts.left_out.items())
    for task in facts.tasks:
        yield from _task(facts, task) if len(facts.tasks) <= FEW else [_in_short(task)]
    if len(facts.tasks) > FEW:
        yield (
            f"  granularity is by {facts.by} of {FINE:,} images at most; 0: classes lie apart; in brackets that of "
            "random labels"
        )
    yield f"  {_copies(facts)}"
    yield f"  {_pretraining(found)}"


def _grouped(facts: Facts) -> str:
    return "no two of a group" if facts.groups == facts.images else f"of {counted(facts.groups, 'group')}"


def _task(facts: Facts, task: TaskFacts) -> Iterator[str]:
    sizes = sorted(task.classes, key=lambda one: one.train)
    yield (
        f"  {named(task.name)}: {counted(len(task.classes), 'class', 'classes')}, "
        f"{counted(task.train, 'labelled training image')}, from {sizes[-1].train:,} ({named(sizes[-1].name)}) down to "
        f"{sizes[0].train:,} ({named(sizes[0].name)})"
    )
    yield f"    images to train, validate and test: {_subsets(sizes[0])}; {_subsets(sizes[-1])}"
    minority = f"; classes smaller than average: {task.imbalance.m}" if task.imbalance.m else ""
    yield (
        f"    imbalance ratio 1:{task.ratio:.0f}, balance deviation {task.imbalance.BD:.2f} (0: even, 1: the "
        f"smaller classes are empty){minority}"
    )
    if task.missing:
        yield f"    {percent(task.missing)} of the images have no label"
    yield f"    {_granularity(facts, task)}"


def _subsets(one: ClassFacts) -> str:
    return f"{one.train:,}, {one.validation:,} and {one.test:,} of {named(one.name)}"


def _in_short(task: TaskFacts) -> str:
    smallest = min(task.classes, key=lambda one: one.train)
    missing = f", {percent(task.missing)} without a label" if task.missing else ""
    fine = "" if task.fineness is None else f", granularity {task.fineness.rankm:.2f} ({task.fineness.chance:.2f})"
    return (
        f"  {named(task.name)}: {counted(len(task.classes), 'class', 'classes')}, 1:{task.ratio:.0f}, "
        f"{counted(smallest.train, 'training image')} of {named(smallest.name)}{missing}{fine}"
    )


def _granularity(facts: Facts, task: TaskFacts) -> str:
    fine = task.fineness
    if fine is None:
        return "how fine its classes are cannot be measured: that takes two classes, and one of two images"
    name, rankm = fine.finest
    hardest = f"; most in {named(name)}, {rankm:.2f}"
    if fine.pair and len(task.classes) > 2:
        hardest += f", and between {' and '.join(map(named, fine.pair))}"
    by = f"by {facts.by} of {counted(fine.images, 'image')}"
    return (
        f"granularity, how classes overlap, {fine.rankm:.2f} {by} (0: they lie apart, {fine.chance:.2f}: as random "
        f"labels){hardest}"
    )


def _copies(facts: Facts) -> str:
    if facts.copies is None:
        return "near-duplicates: not looked for, the images are too many for a quick look, or too few; `longtail audit`"
    pairs, across = facts.copies
    if not pairs:
        return f"near-duplicates: none{' in different groups' * (facts.groups < facts.images)}"
    harm = f"{across:,} of them across subsets, which makes the test too easy" if across else "none across subsets"
    return f"near-duplicates: {counted(pairs, 'pair')} in different groups, {harm}; `longtail audit` names them"


def _pretraining(found: Advice) -> str:
    if found.pretraining is None and not found.pretrained:
        small = "for images so small " if min(found.facts.shape[:2]) < LEAST_SIDE else ""
        return f"pretraining: none, networks {small}are trained from scratch"
    if found.pretraining is None:
        return "similarity to the pretraining: not known, it takes features of both (--features and --pretraining)"
    return (
        f"similarity to the pretraining: {found.pretraining.similarity:.3f} (1: the same), distance "
        f"{found.pretraining.distance:.1f}"
    )
