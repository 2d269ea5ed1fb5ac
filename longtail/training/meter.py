"""What a training says of itself: what it will cost, how far it is, and the scalars that are logged."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from longtail import tracking
from longtail.errors import DataError
from longtail.methods.base import Method
from longtail.methods.batch import Batch
from longtail.progress import Advance


def announcement(method: Method, batch: Batch, start: int, iterations: int) -> str:
    """How much work lies ahead, as the first mini-batch shows; how long it takes is known when some of it is done."""
    images, tasks = method.views * batch.whole, len(method.labels)
    share = "share what is drawn" if method.sampler.together else "draw for themselves (`together` lets them share)"
    of_tasks = f": {tasks} tasks {share}" if tasks > 1 else ""
    resumed = f", from step {start:,} on" if start else ""
    return f"training: {iterations:,} steps{resumed}, of about {images:,} images{of_tasks}"


class Meter:
    """Averages the scalars of `every` steps, shows them, and logs them.

    Values stay on the device until then: to look at one makes the GPU wait for the next step.
    """

    def __init__(
        self, every: int, iterations: int, start: int, history: list[dict[str, float]], *, shown: bool
    ) -> None:
        self.every, self.iterations, self.history = every, iterations, history
        self.values: list[dict[str, Tensor]] = []
        self.images, self.waited, self.began = 0, 0.0, time.perf_counter()
        self.advance = Advance("training", iterations, done=start, shown=shown)

    def __enter__(self) -> "Meter":
        self.advance.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.advance.__exit__(*error)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Time in which a step waits for its images."""
        began = time.perf_counter()
        yield
        self.waited += time.perf_counter() - began

    def add(self, done: int, scalars: dict[str, Tensor], images: int) -> None:
        """Take in the scalars of step number `done`, from 1, of that many images. Raises DataError if one that came
        since the last were logged is not finite.
        """
        self.values.append(scalars)
        self.images += images
        note = self._flush(done) if done % self.every == 0 or done == self.iterations else None
        self.advance.add(note=note)

    def add_validation(self, loss: float) -> float:
        """Log the loss on validation beside the scalars that were logged last; return it."""
        self.history[-1]["validation_loss"] = loss
        tracking.log_metrics({"training/validation_loss": loss}, step=int(self.history[-1]["iteration"]))
        return loss

    def _flush(self, done: int) -> str:
        values = torch.stack([torch.stack(list(scalars.values())) for scalars in self.values]).double().cpu()
        means = dict(zip(self.values[0], values.mean(0).tolist(), strict=True))
        if wrong := [name for name in ("loss", *means) if not math.isfinite(means[name])]:
            finite = values[:, list(means).index(wrong[0])].isfinite().tolist()
            first = done - len(finite) + 1 + finite.index(False)
            mend = "" if wrong[0] == "loss" else ", or mend what the method logs"
            raise DataError(f"the {wrong[0]} is not finite at iteration {first}: lower the learning rate{mend}")
        self.history.append({"iteration": float(done), **means})
        took = time.perf_counter() - self.began
        speed, share = self.images / took, self.waited / took
        tracking.log_metrics({f"training/{name}": value for name, value in means.items()}, step=done)
        tracking.log_metrics({"training/images_per_second": speed, "training/loader_share": share}, step=done)
        self.values, self.images, self.waited, self.began = [], 0, 0.0, time.perf_counter()
        return f"loss {means['loss']:.3f}, {speed:,.0f} images/s"
