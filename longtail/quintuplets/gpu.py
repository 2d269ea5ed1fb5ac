"""The product of the quintuplet table and its reductions on a GPU, or wherever torch is told to."""

import numpy as np
import numpy.typing as npt
import torch

from longtail.quintuplets.product import Extremes, Product

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


class GPUProduct:
    """A product whose candidates lie on a device. In float32: TF32, which has ten bits, is torch's to switch on."""

    def __init__(self, product: Product, device: str) -> None:
        self.row_of, self.device = product.row_of, device
        self.rows = torch.from_numpy(product.rows).to(device)
        self.order = [torch.from_numpy(rows).to(device) for rows in product.order]
        self.starts = [task.starts for task in product.candidates]
        # Of all segments of a task, and of its classes as they are asked for: each copy makes the host wait.
        self._lengths: dict[tuple[int, int, int], torch.Tensor] = {}

    def reduce(self, block: Floats, here: Ints, asked: list[slice]) -> list[Extremes]:
        """As `longtail.quintuplets.product.reduce_on_cpu`."""
        columns = torch.ones((block.shape[1] + 1, len(block)))
        columns[:-1] = torch.from_numpy(block.T)
        scores = self.rows @ columns.to(self.device)
        inside = np.flatnonzero(self.row_of[here] >= 0)
        itself = torch.from_numpy(np.stack([self.row_of[here][inside], inside])).to(self.device)
        scores[itself[0], itself[1]] = torch.inf
        result = []
        for task, (starts, order, segments) in enumerate(zip(self.starts, self.order, asked, strict=True)):
            # The rows of one task are in its order already.
            mine = scores if len(self.order) == 1 else scores[order]
            greatest = self._reduce("max", mine, task, slice(0, len(starts) - 1))
            least = np.empty_like(greatest)
            if segments.start < segments.stop:
                members = mine[starts[segments.start] : starts[segments.stop]]
                least[segments] = self._reduce("min", members, task, segments)
            result.append((greatest, least))
            del mine  # as large as the scores: not beside that of the next task
        return result

    def _reduce(self, kind: str, scores: torch.Tensor, task: int, segments: slice) -> Floats:
        key = (task, segments.start, segments.stop)
        if key not in self._lengths:
            lengths = np.diff(self.starts[task][segments.start : segments.stop + 1])
            self._lengths[key] = torch.from_numpy(lengths).to(self.device)
        # Unsafe: that the lengths are those of the rows is not read back from the device to be checked.
        reduced = torch.segment_reduce(scores, kind, lengths=self._lengths[key], axis=0, unsafe=True)
        found: Floats = reduced.cpu().numpy()
        return found
