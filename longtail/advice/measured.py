"""What the tables of measured data sets said: `measured.yaml`, which `python -m experiments.measured` writes."""

from functools import cache
from pathlib import Path

from pydantic import BaseModel, ValidationError

from longtail.artifacts.yaml_file import read_yaml
from longtail.errors import DataError
from longtail.rules.registry import ADJUSTED

FILE = Path(__file__).with_name("measured.yaml")
BASELINE = f"cross-entropy, {ADJUSTED}"  # what all else is held against
PLAIN = "cross-entropy, head"  # the same training, by its head as it was trained


class Gain(BaseModel, frozen=True, extra="forbid"):
    """A method's mean per-class accuracy less that of adjusted cross-entropy, in points: the mean over the seeds, its
    95 % interval, and whether it is more than chance by the tests of docs/results.md.
    """

    mean: float
    low: float
    high: float
    significant: bool


class MeasuredTask(BaseModel, frozen=True, extra="forbid"):
    """A task of a measured data set: its `classes`, labelled training images, and imbalance ratio IR (≥ 1).

    `discordance`: of two methods, the share of test images that one alone has right, in (0, 1], the median over
    methods, of the minority classes and of the others. `likeness`: the correlation of such gains within a group, in
    [0, 1]; None where groups are single images. `spread`: the standard deviation over seeds of a difference in mean
    per-class accuracy that the sampling of the test subset does not explain; None of one seed. `accuracy`: of adjusted
    cross-entropy, %.
    """

    classes: int
    train: int
    IR: float
    discordance: tuple[float, float]
    likeness: float | None
    spread: float | None
    accuracy: float
    gains: dict[str, Gain]


class Table(BaseModel, frozen=True, extra="forbid"):
    """A measured experiment: images of `side` pixels, the network's backbone, whether that was `pretrained`, and
    trained on its stored features alone (`frozen`). `gains`: of the mean of all tasks; the keys are "method, rule".
    """

    name: str
    title: str
    side: int
    backbone: str
    pretrained: bool
    frozen: bool
    image_passes: int
    seeds: int
    commits: list[str]
    command: str
    tasks: dict[str, MeasuredTask]
    gains: dict[str, Gain]


class Measured(BaseModel, frozen=True, extra="forbid"):
    """All measured experiments."""

    tables: list[Table]


@cache
def tables(file: Path = FILE) -> tuple[Table, ...]:
    """The tables of the file. Raises DataError if it is none."""
    try:
        return tuple(Measured.model_validate(read_yaml(file)).tables)
    except ValidationError as error:
        raise DataError(f"{file} holds no measured tables; write it with `python -m experiments.measured`") from error
