"""What a model card says of the model that is served, beside the report: plain data."""

from collections.abc import Mapping
from dataclasses import dataclass

from longtail.data.preprocessing import Preprocessing
from longtail.metrics.calibration import Calibration


@dataclass(frozen=True)
class ServedTask:
    """The probabilities of a task by the model's own rule: the `temperature` of its scores, the share that is `uniform`
    over the classes, and how well they are calibrated on test, None without a labelled test image. And the flag: beyond
    `distance` (None: never) an image is unlike anything trained on; of images as the `samples` of validation the share
    `false_alarms` is.
    """

    temperature: float
    uniform: float
    calibration: Calibration | None
    distance: float | None
    false_alarms: float
    samples: int


@dataclass(frozen=True)
class ServedModel:
    """The network of the leading model, the length of its embedding (None: that of the backbone's features), what
    becomes of an image before it (None: more than a file's pixels went into that), and what is served of the tasks that
    the card shows in full.
    """

    features: str
    backbone: str
    embedding: int | None
    image_shape: tuple[int, int, int]
    preprocessing: Preprocessing | None
    tasks: Mapping[str, ServedTask]
