"""Two data sets with the same backbone's features, as two pipelines leave them."""

from pathlib import Path

import pytest
from tiny import run_stage, write_tiny_dataset


@pytest.fixture(scope="session")
def domains(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`birds` and `photos`: each a data set, its split, what trainings begin with, and stored features; of birds'
    backbone both.
    """
    root = tmp_path_factory.mktemp("domains")
    for name, per_class in (("birds", 24), ("photos", 40)):
        write_tiny_dataset(root / name / "dataset", per_class=per_class, seed=per_class, two_tasks=name == "photos")
        for stage in ("split", "start", "features"):
            run_stage(root / name, stage, **({"precision": "float32"} if stage == "features" else {}))
    return root
