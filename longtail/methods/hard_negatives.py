"""Hard negatives as further classes of a softmax classifier: which of them a step has, and what code each.

Source: the thesis "Learning from fine-grained and long-tailed visual data", section 2.4.3: Softmax + HNS (one class of
all of them) and + HNM (one for each class that they were looked at as).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from longtail.data.samplers import Sampler, TaskSampler
from longtail.methods.base import Floats, Ints, Setup
from longtail.methods.batch import Selection

MEASURED = 1000  # mini-batches that tasks share, of which it is counted how many labelled samples of each they have


@dataclass(frozen=True)
class HardNegatives:
    """Those of a task: their codes (samples,), from the number of its `classes` on, −1 where a sample is none; what
    draws them; how many draws one has while an image of the classes has one, `often`; and how many samples with a label
    a step has that has any, on average, `draws`.
    """

    codes: Ints
    classes: int
    often: float
    draws: float
    sampler: Sampler

    @classmethod
    def of_tasks(cls, setup: Setup, drawn: dict[str, Ints], batch: int) -> dict[str, Self]:
        """Those of each task that has any, where they are not ignored. `drawn`: task → codes of what mini-batches of
        `batch` draw.
        """
        if setup.sampling.negatives == "ignore":
            return {}
        having = [task for task in drawn if task in setup.negatives and (setup.negatives[task] >= 0).any()]
        draws = labelled_draws(setup, drawn, batch) if having else {}
        return {task: cls._of(setup, task, drawn[task], batch, draws[task]) for task in having}

    @classmethod
    def _of(cls, setup: Setup, task: str, drawn: Ints, batch: int, draws: float) -> Self:
        rejected, classes = setup.negatives[task], setup.classes[task]
        by_class = setup.sampling.negatives == "by_class"
        codes = np.where(rejected >= 0, classes + (rejected if by_class else 0), -1)
        images, negatives = int((drawn >= 0).sum()), int((codes >= 0).sum())
        count = round(setup.sampling.negatives_often * draws * negatives / images)
        count = min(max(count, 1), batch)
        seed = setup.seed + len(setup.labels) + list(setup.labels).index(task)  # tasks draw by the seeds before
        often = count / draws * images / negatives
        return cls(codes, classes, often, draws, Sampler(codes, count, scheme="natural", seed=seed))

    @property
    def labelled(self) -> float:
        """The part of the loss that samples of the task's own classes have."""
        return self.draws / (self.draws + self.sampler.batch)

    def joined(self, selected: Selection, step: int) -> Selection:
        """The samples of a step, and behind them its hard negatives. Each of these weighs as much as a sample does on
        average; all weights sum to 1, as those of the samples did. A step without samples has none of either: by them
        alone a task that shares its mini-batches would learn little but its hard negatives.
        """
        if not len(selected.positions):
            return selected
        positions = self.sampler.positions(step)
        weights: Floats = selected.targets["weights"]  # type: ignore[assignment]
        # By the samples of steps on average: by those of this one, the few of a small step would count for less.
        whole = self.draws + len(positions)
        own = np.full(len(positions), 1 / whole, np.float32)
        targets = {
            "codes": np.concatenate([selected.targets["codes"], self.codes[positions]]),
            "weights": np.concatenate([weights * np.float32(self.draws / whole), own]),
        }
        return Selection(np.concatenate([selected.positions, positions]), targets)

    def counted(self, counts: Ints) -> Ints:
        """Counts of a task's classes and, if they have places for them, of those of the hard negatives."""
        if len(counts) == self.classes:
            return counts
        of_codes = np.bincount(self.codes[self.codes >= 0], minlength=len(counts))
        together: Ints = counts + np.ceil(self.often * of_codes).astype(np.int64)
        return together


def labelled_draws(setup: Setup, drawn: dict[str, Ints], batch: int) -> dict[str, float]:
    """For each task how many samples with a label a mini-batch has that has any, on average over a training: `batch`,
    unless tasks share mini-batches. Then it is counted in a training in small of `MEASURED` steps, by the same seed:
    how many mini-batches have none of a task follows from no formula where labels of several tasks go together.
    """
    sampling, tasks = setup.sampling, len(drawn)
    if not sampling.takes_turns(tasks):
        return dict.fromkeys(drawn, float(batch))
    rounds = max(10, -(-MEASURED // tasks))  # whole ones, so that every task has as many turns
    begin, steps = round(sampling.deferred * rounds) * tasks, rounds * tasks
    sampler = TaskSampler(
        drawn, batch, scheme=sampling.sampling, seed=setup.seed, together=True, steps=steps, deferred=begin
    )
    return sampler.labelled(steps)
