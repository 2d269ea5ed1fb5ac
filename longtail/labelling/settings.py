"""How a queue is made; light to import, since the command line shows it."""

from pathlib import Path
from typing import Any, Literal, NamedTuple

By = Literal["confidence", "prediction_set", "label_errors", "random"]
LABELLED = ("prediction_set", "label_errors")  # orders that need labelled images


class Settings(NamedTuple):
    """How a queue is made: in which order, of what probability at least, for which task, with which share seen twice.

    `dataset` and `split`: those of the model, for exemplars and for what needs labelled images; `definitions`: a YAML
    file.
    """

    by: By = "confidence"
    confidence: float = 0.5
    task: str | None = None
    dataset: Path | None = None
    split: Path | None = None
    definitions: Path | None = None
    twice: float = 0.1
    seed: int = 0

    def recorded(self, task: str) -> dict[str, Any]:
        """What the lineage has of it: no path."""
        return {
            "task": task,
            "by": self.by,
            "confidence": self.confidence,
            "twice": self.twice,
            "seed": self.seed,
        }
