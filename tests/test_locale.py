"""Names in any script, where the locale knows ASCII alone: files are UTF-8, and whatever is printed can be printed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from longtail.data.dataset import PackedDataset
from longtail.data.splits import Split

ROOT = Path(__file__).parents[1]
ASCII = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "LONGTAIL_TRACKING": "off"}
CLASSES = ["Fuß", "手"]


def in_ascii(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *words]
    environment = {**os.environ, **ASCII, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", errors="replace", check=False
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in CLASSES:
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(12):
            image = Image.fromarray(rng.integers(0, 255, (8, 8), dtype=np.uint8))
            image.save(tmp_path / "photos" / name / f"ü{number}.png")
    source = {"kind": "folder", "path": "photos", "licence": "für alle"}
    values = {"ingest": {"source": source, "image_shape": [8, 8, 1]}, "split": {"validation": 0.2, "test": 0.2}}
    (tmp_path / "params.yaml").write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")
    return tmp_path


def test_steps_write_names_as_they_are(folder: Path) -> None:
    made = in_ascii(folder, "longtail", "ingest", "--data", ".", "--dataset", "dataset")
    assert made.returncode == 0, made.stderr
    made = in_ascii(folder, "longtail", "split", "--dataset", "dataset", "--split", "split")
    assert made.returncode == 0, made.stderr
    packed = PackedDataset.open(folder / "dataset")
    assert packed.info.tasks[0].classes == CLASSES
    assert packed.info.licence == "für alle"
    assert set(Split.open(folder / "split").samples["label"]) == set(CLASSES)


@pytest.mark.parametrize(
    "words", [("longtail", "--help"), ("pipelines", "--help"), ("longtail", "check", "--params", "ö")]
)
def test_what_cannot_be_shown_is_shown_otherwise(folder: Path, words: tuple[str, ...]) -> None:
    done = in_ascii(folder, *words)
    assert "Traceback" not in done.stderr
    assert done.returncode == (1 if "check" in words else 0)
