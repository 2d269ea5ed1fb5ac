"""Hard negatives as further classes of a softmax classifier: which of them a step has, and what code each.

Source: the thesis "Learning from fine-grained and long-tailed visual data", section 2.4.3: Softmax + HNS (one class of
all of them) and + HNM (one for each class that they were looked at as).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from longtail.data.samplers import Sampler
from longtail.methods.base import Floats, Ints, Setup
from longtail.methods.batch import Selection


@dataclass(frozen=True)
class HardNegatives:
    """Those of a task: their codes (samples,), from the number of its `classes` on, −1 where a sample is none; what
    draws them, and how many draws one has while an image of the classes has one, `often`.
    """

    codes: Ints
    classes: int
    often: float
    sampler: Sampler

    @classmethod
    def of(cls, setup: Setup, task: str, drawn: Ints, batch: int) -> Self | None:
        """None where the task has none, or they are ignored. `drawn`: codes of what a mini-batch of `batch` draws."""
        rejected, mode = setup.negatives.get(task), setup.sampling.negatives
        if mode == "ignore" or rejected is None or not (rejected >= 0).any():
            return None
        classes = setup.classes[task]
        codes = np.where(rejected >= 0, classes + (rejected if mode == "by_class" else 0), -1)
        images, negatives = int((drawn >= 0).sum()), int((codes >= 0).sum())
        count = round(setup.sampling.negatives_often * batch * negatives / images)
        count = min(max(count, 1), batch)
        seed = setup.seed + len(setup.labels) + list(setup.labels).index(task)  # tasks draw by the seeds before
        often = count / batch * images / negatives
        return cls(codes, classes, often, Sampler(codes, count, scheme="natural", seed=seed))

    def joined(self, selected: Selection, step: int) -> Selection:
        """The samples of a step, and behind them its hard negatives. Each of these weighs as much as a sample does on
        average; all weights sum to 1, as those of the samples did.
        """
        positions = self.sampler.positions(step)
        weights: Floats = selected.targets["weights"]  # type: ignore[assignment]
        whole = len(weights) + len(positions)
        own = np.full(len(positions), 1 / whole, np.float32)
        targets = {
            "codes": np.concatenate([selected.targets["codes"], self.codes[positions]]),
            "weights": np.concatenate([weights * np.float32(len(weights) / whole), own]),
        }
        return Selection(np.concatenate([selected.positions, positions]), targets)

    def counted(self, counts: Ints) -> Ints:
        """Counts of a task's classes and, if they have places for them, of those of the hard negatives."""
        if len(counts) == self.classes:
            return counts
        of_codes = np.bincount(self.codes[self.codes >= 0], minlength=len(counts))
        together: Ints = counts + np.ceil(self.often * of_codes).astype(np.int64)
        return together
