"""What tells the steps of cells apart."""

from pathlib import Path
from typing import Any

import pytest
from few_digits import MATRIX

from experiments import cell as cells
from experiments.cell import Steps
from experiments.matrix import Matrix
from longtail.stages import fit


@pytest.mark.parametrize(("precision", "apart"), [(None, True), ("float32", False)])
def test_a_training_of_a_gpu_is_not_taken_for_that_of_a_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str | None, apart: bool
) -> None:
    """Where the parameters leave the precision open, it is the device's."""

    def making(*paths: Path, params: fit.Params) -> None:
        paths[-1].mkdir()

    monkeypatch.setattr(fit, "run", making)
    cell = next(one for one in Matrix.model_validate(MATRIX).cells() if one.model in one.sections["fits"])
    cell.sections["fits"][cell.model]["optimisation"]["precision"] = precision
    made: list[Any] = [Steps(cell, tmp_path).run(fit, training=cell.model)]
    monkeypatch.setattr(cells, "precision", lambda optimisation: "bfloat16")
    made.append(Steps(cell, tmp_path).run(fit, training=cell.model))
    assert (made[0] != made[1]) == apart
