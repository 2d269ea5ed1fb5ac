"""Images kept as JPEGs: every step answers as on their pixels kept raw, and the data set travels by its md5."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from tiny import hashes, run_pipeline

from longtail.data.dataset import PackedDataset, write_dataset
from longtail.network.embedder import load_embedder
from longtail.network.snapshot import current, read_blueprint, read_embeddings
from longtail.report.page import png
from longtail.stages import fetch, ingest

SHAPE = (28, 28, 3)
COLOURS = {"red": (220, 60, 60), "green": (60, 200, 60), "blue": (60, 60, 220)}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline on the data set `jpeg/dataset`, and one on `raw/dataset`, which holds the decoded pixels."""
    root = tmp_path_factory.mktemp("storage")
    rng = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (root / "data" / name).mkdir(parents=True)
        for number in range(40):
            noise = rng.integers(0, 256, (20, 30, 3)) * 0.7 + 0.3 * np.array(colour)
            Image.fromarray(noise.astype(np.uint8)).save(root / "data" / name / f"{number:02d}.png")
    params = ingest.Params(source={"kind": "folder", "fit": "crop"}, image_shape=SHAPE, storage="jpeg")
    ingest.run(root / "data", root / "jpeg" / "dataset", params=params)
    packed = PackedDataset.open(root / "jpeg" / "dataset")
    about = {"provenance": packed.info.provenance, "licence": packed.info.licence, "image_shape": SHAPE}
    images = [packed.images(np.arange(len(packed)))]
    write_dataset(root / "raw" / "dataset", packed.samples, images, tasks=packed.info.tasks, **about)  # type: ignore[arg-type]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LONGTAIL_TRACKING", "off")
        for storage in ("jpeg", "raw"):
            run_pipeline(root / storage)
    return root


def test_the_pipeline_makes_of_jpegs_what_it_makes_of_their_pixels(root: Path) -> None:
    of_jpegs, of_pixels = hashes(root / "jpeg"), hashes(root / "raw")
    compared = [name for name in of_jpegs if name.endswith((".npy", ".safetensors")) and "dataset/" not in name]
    assert len(compared) > 10
    assert {name: of_jpegs[name] for name in compared} == {name: of_pixels[name] for name in compared}
    pages = [(root / storage / "report/report.html").read_text() for storage in ("jpeg", "raw")]
    of_page = [re.findall(r"data:image/png;base64,[\w+/=]+", page) for page in pages]
    assert of_page[0] == of_page[1]
    shown = {png(image) for image in PackedDataset.open(root / "jpeg" / "dataset").images(np.arange(120))}
    assert shown & set(of_page[0]), "no mistake is shown with its image"


def test_embeddings_are_those_of_the_images_in_their_order(root: Path) -> None:
    packed = PackedDataset.open(root / "jpeg" / "dataset")
    rows = pd.read_parquet(root / "jpeg" / "split" / "samples.parquet")["row"].to_numpy()
    model = current(root / "jpeg" / "r1" / "model")
    expected = load_embedder(model)(packed.images(rows))["label"]
    assert read_embeddings(model, "label") == pytest.approx(expected, abs=1e-5)


def test_a_model_carries_the_round_trip_through_jpeg(root: Path) -> None:
    for model in ("start", "softmax", "r1"):
        how = read_blueprint(current(root / "jpeg" / model / "model")).preprocessing
        assert how == PackedDataset.open(root / "jpeg" / "dataset").info.preprocessing
        assert how is not None
        assert (how.jpeg_quality, how.fit) == (95, "crop")


def test_fetch_brings_jpegs_by_the_md5_of_the_data_set(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / ".site"))
    shutil.copytree(root / "jpeg" / "dataset", tmp_path / "dataset")
    for arguments in (("init", "--no-scm", "-q"), ("add", "-q", "dataset")):
        subprocess.run([sys.executable, "-m", "dvc", *arguments], check=True)
    md5 = yaml.safe_load((tmp_path / "dataset.dvc").read_text())["outs"][0]["md5"]
    fetch.run(tmp_path / "fetched", params=fetch.Params(remote=str(tmp_path / ".dvc" / "cache"), md5=md5))
    assert hashes(tmp_path / "fetched") == hashes(tmp_path / "dataset")
    there, here = PackedDataset.open(tmp_path / "fetched"), PackedDataset.open(tmp_path / "dataset")
    assert (there.images(np.arange(120)) == here.images(np.arange(120))).all()
