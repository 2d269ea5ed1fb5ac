"""What the served model gives, by name: the arrays of each task, and their types for MLflow's signature."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from longtail.data.dataset import Task

if TYPE_CHECKING:
    from longtail.inference.answerer import Answers

REFUSED = ""  # stands for the class of an image that is not answered

# After the task's name: the type of the array, and whether it has a column a class.
COLUMNS: dict[str, tuple[type[np.generic], bool]] = {
    "": (np.str_, False),
    ".probability": (np.float32, False),
    ".probabilities": (np.float32, True),
    ".nearest_class": (np.str_, False),
    ".nearest_cluster": (np.int64, False),
    ".distance": (np.float32, False),
    ".unlike": (np.bool_, False),
}


def columns(task: Task, answers: "Answers", *, refuse: bool = False) -> dict[str, npt.NDArray[Any]]:
    """By "<task>" the classes that are answered (n,), by "<task>.probability" and so on what stands beside them.

    With `refuse` the class is REFUSED where an image is unlike anything that was trained on.
    """
    names, near = np.array(task.classes), answers.nearest
    values: tuple[npt.NDArray[Any], ...] = (
        np.where(answers.unlike & refuse, REFUSED, names[answers.codes]),
        answers.probability,
        answers.probabilities,
        names[near.classes],
        near.cluster,
        near.distance,
        answers.unlike,
    )
    return {f"{task.name}{name}": value for name, value in zip(COLUMNS, values, strict=True)}
