"""The ladder to climb: methods in the order of what they cost, each with what a nearby table said of it."""

import math
from dataclasses import dataclass
from typing import Any

from longtail.advice.facts import EVEN, Facts, TaskFacts
from longtail.advice.measured import BASELINE, PLAIN, Gain
from longtail.advice.nearest import Near
from longtail.sources.quoting import shown

BATCHES = (16, 128)  # the smallest and largest that are advised
STEPS = 10  # mini-batches that a pass over the training images has, at least
PASSES = 20  # over the training images
BUDGET = (20_000, 100_000)  # image passes, at least and at most: the tables have 40,000 to 76,800
PLAIN_STEP, ADJUSTED_STEP = "plain cross-entropy", "adjusted cross-entropy"
MANY = 3  # so many tasks cannot all be even in mini-batches that they share
IN_TURN = 8  # tasks, beyond which each mini-batch is drawn for one of them (longtail/methods/base.py)


@dataclass(frozen=True)
class Step:
    """A step: what it does; its `gain` over adjusted cross-entropy in the nearest table, None where that has none;
    `fit`, what it changes in the training; `model`, the training that is evaluated.
    """

    name: str
    how: str
    gain: Gain | None
    fit: dict[str, Any]
    model: str = "whole"
    hint: bool = False

    @property
    def tried(self) -> bool:
        """Whether it is worth a training: the table does not say that it loses."""
        return self.hint or self.gain is None or not (self.gain.significant and self.gain.mean < 0)


@dataclass(frozen=True)
class Plan:
    """How to train: samples of a mini-batch, image passes, and the steps of the ladder; `even`: there is no imbalance,
    and the first is all. `expected`: the step that the nearest table has as the best, of those that more than chance
    tells from adjusted cross-entropy, else that.
    """

    batch: int
    image_passes: int
    even: bool
    steps: list[Step]
    expected: str


def plan(facts: Facts, near: Near) -> Plan:
    """The ladder for a data set, by what the nearest table said."""
    train = max(task.train for task in facts.tasks)
    batch = batch_for(train)
    passes = round(min(max(PASSES * train, BUDGET[0]), BUDGET[1]), -3)
    even = all(task.ratio < EVEN for task in facts.tasks)
    steps = _steps(facts, near, passes)
    ahead = [step for step in steps[2:] if step.gain and step.gain.significant and step.gain.mean > 0]
    best = max(ahead, key=lambda step: step.gain.mean if step.gain else 0, default=steps[1])
    return Plan(batch, passes, even, steps[:1] if even else steps, PLAIN_STEP if even else best.name)


def batch_for(train: int) -> int:
    """The largest power of two that leaves a pass over so many training images STEPS mini-batches, within BATCHES."""
    power = 2 ** math.floor(math.log2(max(1, train / STEPS)))
    return int(min(max(power, BATCHES[0]), BATCHES[1]))


def beta_for(largest: int) -> float:
    """β of the effective number of samples: 1 / (1 − β), beyond which further images of a class hardly count, is the
    power of ten nearest to the largest class (Cui et al. 2019 take 10 to 10⁴).
    """
    decades = min(4, max(1, round(math.log10(max(1, largest)))))
    return float(f"{1 - 10.0**-decades:.{decades}f}")


def effective_ratio(task: TaskFacts, beta: float) -> float:
    """The ratio of the weights that β gives the smallest class and the largest."""
    sizes = [max(1, one.train) for one in task.classes]
    return (1 - beta ** max(sizes)) / (1 - beta ** min(sizes))


def _steps(facts: Facts, near: Near, passes: int) -> list[Step]:
    """The ladder: the plain training, its adjusted head, then what is tried against that."""
    worst = max(facts.tasks, key=lambda task: task.ratio)
    beta = beta_for(max(one.train for one in worst.classes))
    smallest = min(worst.classes, key=lambda one: one.train)
    weights = f"those on {shown(smallest.name)!r} {effective_ratio(worst, beta):.0f} times those on the largest class"
    ladder: dict[str, tuple[str, str, dict[str, Any]]] = {
        PLAIN_STEP: (PLAIN, "natural mini-batches, no weights", {}),
        ADJUSTED_STEP: (
            BASELINE,
            "the same training, its logits lowered by τ times the log of the class's share of what was trained on (the "
            "log prior), which helps rare classes; τ from validation",
            {},
        ),
        "class-even sampling": ("", _seen(facts, worst, passes), {"sampling": "class_even"}),
        "balanced softmax": (
            "",
            "step 2, learned: training itself is tilted to rare classes, by the log prior added to the logits",
            {"method": {"kind": "balanced_softmax"}},
        ),
        "class-balanced softmax": (
            "",
            f"errors weigh by the effective number of samples of their class, β = {beta:g}: {weights}",
            {"method": {"kind": "class_balanced", "beta": beta}},
        ),
        "cRT": ("", "a plain training, then its classifier anew, by class-even mini-batches", {}),
    }
    names = list(ladder)
    if len(facts.tasks) >= MANY:  # no mini-batch is even for all of them
        names[2:4] = names[3], names[2]
    return [
        Step(name, how, near.gain(row or f"{name}, head"), fit, "second" if name == "cRT" else "whole", near.far)
        for name, (row, how, fit) in ((name, ladder[name]) for name in names)
    ]


def _seen(facts: Facts, worst: TaskFacts, passes: int) -> str:
    """How often an image of the smallest class is seen; several tasks share the passes."""
    there = [one for one in worst.classes if one.train]
    smallest = min(there, key=lambda one: one.train)
    tasks = len(facts.tasks)
    even, natural = passes / tasks / len(there) / smallest.train, passes / worst.train
    if tasks > IN_TURN:  # what is drawn for another task serves this one too
        even += (1 - 1 / tasks) * natural
    of_task = f" ({shown(worst.name)})" if tasks > 1 else ""
    turns = ", the tasks in turn" if tasks > IN_TURN else ""
    seen = f"each image of {shown(smallest.name)!r}{of_task} is seen about {even:,.0f} times"
    return f"every class as often as the others{turns}: {seen}, by step 1 {natural:,.0f} times"
