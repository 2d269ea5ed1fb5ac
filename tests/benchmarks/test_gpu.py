"""What is measured on a GPU runs on a CPU too; where there is no GPU the command says so."""

from pathlib import Path
from types import ModuleType

import pytest
import torch

from benchmarks import gpu, gpu_tables
from benchmarks.gpu import Training, add_training, copy_ceiling, matmul_ceiling, training_step
from benchmarks.machine import NO_GPU
from benchmarks.table import Table, main

CPU = torch.device("cpu")
TINY = Training("small_cnn", (8, 8, 1), 4)


@pytest.fixture(autouse=True)
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "TIMES", 1)


@pytest.mark.parametrize("module", [gpu, gpu_tables])
def test_without_a_gpu_the_command_says_so_and_keeps_what_was_measured(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("benchmarks.table.RESULTS", tmp_path)
    monkeypatch.setattr("sys.argv", ["gpu.py"])
    main(module.run)
    assert capsys.readouterr().out == f"{NO_GPU}\n"
    assert list(tmp_path.iterdir()) == []


def test_a_row_of_quintuplet_tables() -> None:
    table = Table("", "", ["n", "product", "of the ceiling", "table", "ratio"])
    gpu_tables.add_table(table, 900, "cpu", ceiling=1e12)
    assert table.rows[0][0] == "900"


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
