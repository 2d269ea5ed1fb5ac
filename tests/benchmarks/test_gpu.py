"""What is measured on a GPU runs on a CPU too; where there is no GPU the table says so."""

import pytest
import torch

from benchmarks import gpu
from benchmarks.gpu import Training, add_training, copy_ceiling, matmul_ceiling, training_step
from benchmarks.table import Table

CPU = torch.device("cpu")
TINY = Training("small_cnn", (8, 8, 1), 4)


@pytest.fixture(autouse=True)
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "TIMES", 1)


def test_without_a_gpu_the_table_says_how_to_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "gpu", lambda: None)
    table = gpu.run(False)
    assert [row[0] for row in table.rows] == ["not measured"]
    assert table.notes == [gpu.NOT_HERE]
    assert "python -m benchmarks.gpu" in gpu.NOT_HERE


@pytest.mark.parametrize("dtype", gpu.DTYPES)
def test_a_row_of_a_training(dtype: torch.dtype) -> None:
    table = Table("", "", ["network", "mini-batch", "numbers", "compiled", "images/s", "TFLOP/s", "of the ceiling"])
    add_training(table, TINY, dtype, CPU, ceiling=1e12, compiled=False, steps=1)
    ((network, batch, numbers, compiled, *_),) = table.rows
    assert (network, batch, compiled) == ("small_cnn 8×8×1", "4", "no")
    assert numbers in str(dtype)


def test_a_step_counts_its_products_and_trains() -> None:
    step, operations = training_step(TINY, torch.float32, CPU, compiled=False)
    step()
    # Multiply-adds of the three convolutions (8×8, 4×4, 2×2 places) and the two linear layers, for one image.
    layers = [8 * 8 * 9 * 32, 4 * 4 * 9 * 32 * 64, 2 * 2 * 9 * 64 * 128, 128 * 64, 64 * len(gpu.TASK.classes)]
    # Two operations each; forward, and backward for weights and inputs, but the images want no gradient.
    assert operations == 2 * TINY.batch * (3 * sum(layers) - layers[0])


def test_ceilings_are_positive() -> None:
    assert matmul_ceiling(CPU, torch.float32, 16) > 0
    assert copy_ceiling(CPU, 2**10) > 0


@pytest.mark.slow
def test_a_compiled_step_runs() -> None:
    step, _ = training_step(TINY, torch.bfloat16, CPU, compiled=True)
    step()
