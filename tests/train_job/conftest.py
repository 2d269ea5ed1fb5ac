"""What a round of training reads, and a cluster that is a stub."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from job_example import INPUTS, KNOWN, ROOT
from tiny import ARTIFACTS, run_pipeline, write_tiny_dataset
from trainer_stub import Trainer


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that a round of training reads."""
    root = tmp_path_factory.mktemp("prepared")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LONGTAIL_TRACKING", "off")
        write_tiny_dataset(root / "dataset", two_tasks=True)
        run_pipeline(root, stages=("split", "start", "cluster", "quintuplets"))
    return root


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
