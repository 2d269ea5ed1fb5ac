"""Finished tiny pipelines, made once and only read (or copied) by the tests."""

from pathlib import Path

import pytest
from tiny import run_pipeline, write_tiny_dataset


def _pipeline(root: Path, *, two_tasks: bool = False) -> Path:
    patch = pytest.MonkeyPatch()
    patch.setenv("LONGTAIL_TRACKING", "off")
    write_tiny_dataset(root / "dataset", two_tasks=two_tasks)
    run_pipeline(root)
    patch.undo()
    return root


@pytest.fixture(scope="session")
def one_task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _pipeline(tmp_path_factory.mktemp("one_task"))


@pytest.fixture(scope="session")
def two_tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _pipeline(tmp_path_factory.mktemp("two_tasks"), two_tasks=True)
