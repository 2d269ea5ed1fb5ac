"""What a report shows of a task's probabilities and priors, as plain data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from longtail.metrics.calibration import Calibration
from longtail.metrics.conformal import PredictionSets


@dataclass(frozen=True)
class Calibrated:
    """A model's probabilities by the rule of that key: `before` and `after` the `temperature` that validation gives.

    Each is None where no image has a label.
    """

    model: str
    rule: str
    temperature: float | None
    before: Calibration | None
    after: Calibration | None


@dataclass(frozen=True)
class UnderPriors:
    """The accuracy in [0, 1] of a model by a rule under each test prior, by name. If `told`, its logits were shifted
    from the prior that was trained on to just the one that is tested.
    """

    model: str
    rule: str
    accuracy: Mapping[str, float]
    told: bool = False

    @property
    def key(self) -> str:
        """What the rule is called in files."""
        return f"{self.rule}_told" if self.told else self.rule


@dataclass(frozen=True)
class OperatingPoint:
    """Calibration, accuracy under other test priors, and prediction sets by model and kind: each empty without any.

    `validation` has the labelled validation images of each class: temperature and sets are fitted on them.
    """

    validation: Sequence[int] = ()
    calibration: Sequence[Calibrated] = ()
    under_priors: Sequence[UnderPriors] = ()
    sets: Mapping[str, Mapping[str, PredictionSets]] = field(default_factory=dict)
