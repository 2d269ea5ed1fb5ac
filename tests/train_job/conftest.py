"""What a round of training reads, and a cluster that is a stub."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from job_example import INPUTS, KNOWN, ROOT
from tiny import ARTIFACTS
from trainer_stub import Trainer


@pytest.fixture
def inputs(prepared: Path) -> dict[str, Path]:
    return {name: prepared / ARTIFACTS["train"][name] for name in INPUTS}


@pytest.fixture
def volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The environment of the step's pod, its volume here."""
    for name, value in {
        "LONGTAIL_WORK": str(tmp_path / "work"),
        "LONGTAIL_TRACKING": "off",
        "LONGTAIL_EXECUTION": "run-1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


@pytest.fixture
def trainer(tmp_path: Path, volume: Path) -> Iterator[Trainer]:
    stub = Trainer(tmp_path, KNOWN)
    yield stub
    stub.close()
