"""What a step of a training works on: what a method selected, and what one process does of it."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Selection:
    """What a step selects for one task, for all processes, which divide the first axis among them.

    `positions` (B, …): in the split. `targets` (name → (B,) array): what the loss has to know of each. What is a
    mean over the mini-batch, or a weight that depends on all of it (as a class's frequency in it does), is in here.
    """

    positions: Ints
    targets: dict[str, npt.NDArray[np.generic]]


@dataclass(frozen=True)
class Batch:
    """What one process does of a mini-batch; alone, that is all of it.

    `samples` (m,): positions in the split, each image once; `whole`: how many images the mini-batch of all processes
    has; `places` (m,): which of these are `samples`. As tensors, for each task: `rows`, what the method selected for
    this process, as rows of `samples`; `targets`, what it has to know of each.
    """

    samples: Ints
    whole: int
    places: Ints
    rows: dict[str, Tensor]
    targets: dict[str, dict[str, Tensor]]

    def to(self, device: torch.device) -> "Batch":
        """The same with its tensors on a device."""
        rows = {task: to_device(of_task, device) for task, of_task in self.rows.items()}
        targets = {
            task: {name: to_device(values, device) for name, values in of_task.items()}
            for task, of_task in self.targets.items()
        }
        return replace(self, rows=rows, targets=targets)


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """A tensor of this process's memory on a device; a GPU fetches it while the process goes on."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values


def images_of(positions: dict[str, Ints]) -> Ints:
    """The positions of all images of a step, sorted, each once; `positions`: those of each task."""
    return np.unique(np.concatenate([of_task.ravel() for of_task in positions.values()]))


def once(positions: Ints, weights: Floats) -> tuple[Ints, Floats]:
    """Each of the positions (B,) once, with the sum of its weights (B,)."""
    _, first, of_draw = np.unique(positions, return_index=True, return_inverse=True)
    summed = np.bincount(of_draw, weights, len(first))
    order = np.argsort(first)  # as drawn: several processes take their shares from a shuffled mini-batch
    return positions[first[order]], summed[order].astype(np.float32)
