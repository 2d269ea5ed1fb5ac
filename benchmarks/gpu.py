"""Training on a GPU: images a second in float32 and bf16, with and without torch.compile, against the card's ceilings.

python -m benchmarks.gpu              ResNet-50 at 224×224 and the small CNN at 28×28
python -m benchmarks.gpu --full       larger mini-batches too
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.machine import gpu
from benchmarks.measure import Spread
from benchmarks.table import Table, main
from longtail.data.dataset import Task
from longtail.data.transforms import to_float
from longtail.network.network import Network, NetworkParams

DTYPES = (torch.float32, torch.bfloat16)
TASK = Task(name="class", classes=[str(code) for code in range(100)])
TIMES = 7
MATRIX = 8192
COPIED = 2**30  # bytes


@dataclass(frozen=True)
class Training:
    """A network and its mini-batch."""

    backbone: str
    image_shape: tuple[int, int, int]
    batch: int


QUICK = [Training("resnet50", (224, 224, 3), 128), Training("small_cnn", (28, 28, 1), 1024)]
FULL = [Training("resnet50", (224, 224, 3), 512), Training("small_cnn", (28, 28, 1), 16_384)]


def run(full: bool) -> Table | None:
    """The step of both networks in four ways; with --full also with larger mini-batches."""
    card = gpu()
    if card is None:
        return None
    table = Table(
        "Training on a GPU",
        "Forward, backward and AdamW on images that lie on the card. TFLOP/s count the products of convolutions and "
        "linear layers; their ceiling is a square product of matrices of the same numbers.",
        ["network", "mini-batch", "numbers", "compiled", "images/s", "TFLOP/s", "of the ceiling"],
        settings=card,
    )
    device = torch.device("cuda")
    torch.backends.cudnn.allow_tf32 = False  # on by default for convolutions alone: float32 is float32 here
    ceilings = {dtype: matmul_ceiling(device, dtype, MATRIX) for dtype in DTYPES}
    table.notes += [f"product of {MATRIX:,}² matrices, {_name(d)}: {c / 1e12:.1f} TFLOP/s" for d, c in ceilings.items()]
    table.notes.append(f"copy of {COPIED / 2**30:.0f} GiB: {copy_ceiling(device, COPIED) / 1e9:,.0f} GB/s")
    for training in QUICK + (FULL if full else []):
        for dtype in DTYPES:
            for compiled in (False, True):
                add_training(table, training, dtype, device, ceilings[dtype], compiled=compiled, steps=20)
    return table


def add_training(
    table: Table,
    training: Training,
    dtype: torch.dtype,
    device: torch.device,
    ceiling: float,
    *,
    compiled: bool,
    steps: int,
) -> None:
    """Measure a row; `ceiling` in FLOP/s, `steps` are timed together."""
    step, operations = training_step(training, dtype, device, compiled=compiled)
    speed = Spread.of([training.batch / value for value in _seconds(step, device, steps)])
    rate = speed.median * operations / training.batch
    size = "×".join(map(str, training.image_shape))
    table.add(
        f"{training.backbone} {size}",
        training.batch,
        _name(dtype),
        "yes" if compiled else "no",
        speed.text("{:,.0f}"),
        f"{rate / 1e12:.2f}",
        f"{rate / ceiling:.0%}",
    )


def training_step(
    training: Training, dtype: torch.dtype, device: torch.device, *, compiled: bool
) -> tuple[Callable[[], None], int]:
    """A training step, and how many floating-point operations it takes. bf16 is by autocast, as in the training."""
    torch.compiler.reset()  # a network of other shapes, met after this one, would be compiled for any shape
    torch.manual_seed(0)
    params = NetworkParams(backbone=training.backbone)
    network = Network(params, [TASK], training.image_shape).to(device).train()
    optimiser = torch.optim.AdamW(network.parameters(), 0.0005, fused=True)
    images = to_float(torch.randint(0, 256, (training.batch, *training.image_shape), dtype=torch.uint8).to(device))
    codes = torch.randint(0, len(TASK.classes), (training.batch,), device=device)
    eager = _Objective(network)
    objective = torch.compile(eager) if compiled else eager

    def gradients(of: Callable[[Tensor, Tensor], Tensor]) -> None:
        optimiser.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
            loss = of(images, codes)
        loss.backward()  # type: ignore[no-untyped-call]

    def step() -> None:
        gradients(objective)
        optimiser.step()

    with FlopCounterMode(display=False) as counter:
        gradients(eager)
    return step, counter.get_total_flops()


def matmul_ceiling(device: torch.device, dtype: torch.dtype, side: int) -> float:
    """FLOP/s of a product of two square matrices; float32 as torch has it by default, without TF32."""
    one = torch.rand((side, side), device=device).to(dtype)
    return 2 * side**3 / min(_seconds(lambda: one @ one, device, 5))


def copy_ceiling(device: torch.device, size: int) -> float:
    """Bytes/s that a copy of `size` bytes reads and writes."""
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * size / min(_seconds(lambda: target.copy_(source), device, 5))


class _Objective(nn.Module):
    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, codes: Tensor) -> Tensor:
        return F.cross_entropy(self.network.logits(images)[TASK.name], codes)


def _seconds(work: Callable[[], object], device: torch.device, steps: int) -> list[float]:
    """Seconds a call, several times over, after calls that compile and warm up."""
    for _ in range(3):
        work()
    times = []
    for _ in range(TIMES):
        _wait(device)
        began = time.perf_counter()
        for _ in range(steps):
            work()
        _wait(device)
        times.append((time.perf_counter() - began) / steps)
    return times


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


if __name__ == "__main__":
    main(run)
