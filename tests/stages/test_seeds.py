"""Every step takes the same seeds: the largest trains to the end, a larger one is refused before anything runs."""

import importlib
from pathlib import Path
from typing import Any

import pytest
from tiny import ARTIFACTS, PARAMETERS, run_pipeline, write_tiny_dataset

from longtail.errors import DataError
from longtail.parameters import check_section
from longtail.stages.ingest import Params as Ingest

LARGEST = 2_000_000_000
SECTIONS: dict[str, dict[str, Any]] = {
    "ingest": {"source": {"kind": "digits"}, "image_shape": [28, 28, 1]},
    **PARAMETERS,
}


def check(stage: str, seed: Any) -> None:
    model = Ingest if stage == "ingest" else importlib.import_module(f"longtail.stages.{stage}").Params
    check_section(stage, {**SECTIONS[stage], "seed": seed}, model, "params.yaml")


@pytest.mark.parametrize("seed", [2**31, 2**32, 2**64, -1, 0.5, "x", None])
@pytest.mark.parametrize("stage", list(SECTIONS))
def test_a_seed_out_of_range_is_named(stage: str, seed: Any) -> None:
    with pytest.raises(DataError, match=rf"params.yaml: {stage}\.seed is "):
        check(stage, seed)


def test_the_largest_seed_goes_through_every_step(tmp_path: Path) -> None:
    check("ingest", LARGEST)
    write_tiny_dataset(tmp_path / "dataset", two_tasks=True)
    run_pipeline(tmp_path, **{stage: {"seed": LARGEST} for stage in ARTIFACTS})
