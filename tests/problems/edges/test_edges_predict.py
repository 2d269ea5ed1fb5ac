"""From photographs with annotations through the pipeline's own steps to edge maps, by each way of transfer."""

import importlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from annotated_photographs import SIZE, photograph, write_photographs
from edge_files import outlines
from PIL import Image
from tiny import write_tiny_dataset
from typer.testing import CliRunner

from longtail.__main__ import app
from longtail.artifacts.reading import read_json
from longtail.data.splits import Split
from longtail.errors import DataError
from longtail.network.embedder import load_embedder
from longtail.problems.edges.detector import Detector, class_probabilities
from longtail.problems.edges.settings import Settings
from longtail.stages import detect, score

SIDE = 35
OPTIMISATION = {"iterations": 40, "optimiser": "adamw", "learning_rate": 0.002}
TRAINED = {"network": {"embedding": 8}, "cluster_size": 20, "batch": 24, "optimisation": OPTIMISATION}
WAYS = {"clusters": ("--neighbours", "2"), "patches": ("--neighbours", "2"), "classes": ()}
SOFTMAX = {"name": "softmax", "method": {"kind": "softmax", "positive_sharing": 1.0}, "sampling": "natural", **TRAINED}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photographs, their dataset, split and indexes of a softmax and of what it began with."""
    root = tmp_path_factory.mktemp("edges")
    write_photographs(root / "data", each=3)
    run_steps(root)
    return root


def run_steps(root: Path) -> None:
    """The steps from `data` to the indexes."""
    source = {"kind": "bsds500", "patches": 100, "classes": 3}
    index: dict[str, Any] = {"cluster_size": 20, "search": {"neighbours": [1, 3]}}
    steps: list[tuple[str, dict[str, Any], dict[str, str]]] = [
        ("ingest", {"source": source, "image_shape": [SIDE, SIDE, 3]}, {"data": "data", "dataset": "dataset"}),
        ("split", {}, {"dataset": "dataset", "split": "split"}),
        ("start", {"prior": "hog"}, {"dataset": "dataset", "split": "split", "model": "hog"}),
        ("start", {"network": {"embedding": 8}}, {"dataset": "dataset", "split": "split", "model": "start"}),
        ("fit", SOFTMAX, {"dataset": "dataset", "split": "split", "previous": "start", "model": "softmax"}),
        ("index", index, {"split": "split", "model": "softmax", "index": "index/softmax"}),
        ("index", index, {"split": "split", "model": "hog", "index": "index/hog"}),
    ]
    for stage, params, places in steps:
        module = importlib.import_module(f"longtail.stages.{stage}")
        paths = {name: root / place for name, place in places.items()}
        module.run(**paths, params=module.Params.model_validate(params))


def predict(root: Path, images: list[Path], output: Path, *words: str, model: str = "softmax") -> tuple[int, str]:
    places = ["--dataset", root / "dataset", "--split", root / "split", "--index", root / "index" / model]
    done = CliRunner().invoke(app, ["edges", "predict", *map(str, [*images, *places, "-o", output, *words])])
    if done.exception and not isinstance(done.exception, SystemExit):
        assert isinstance(done.exception, DataError)  # which `longtail` prints as one sentence
        return 1, str(done.exception)
    return done.exit_code, done.output


def maps_of(folder: Path) -> dict[str, npt.NDArray[np.float64]]:
    return {file.stem: np.asarray(Image.open(file)) / 65535 for file in folder.glob("*.png")}


@pytest.mark.parametrize("model", ["softmax", "hog"])
@pytest.mark.parametrize("transfer", WAYS)
def test_a_map_is_high_on_boundaries_and_low_elsewhere(
    trained: Path, tmp_path: Path, model: str, transfer: str
) -> None:
    images = sorted((trained / "data/images/test").iterdir())
    words = ("--stride", "3", "--transfer", transfer, *WAYS[transfer])
    status, text = predict(trained, images, tmp_path / "maps", *words, model=model)
    assert status == 0, text
    found = maps_of(tmp_path / "maps")
    assert sorted(found) == [image.stem for image in images]
    for name, edge_map in found.items():
        number = int(name)
        drawn = outlines(SIZE if number % 2 else SIZE[::-1], annotators=2 + number % 2, seed=number)[0]
        assert edge_map.shape == drawn.shape
        assert edge_map.min() >= 0
        assert edge_map.max() <= 1
        assert edge_map[drawn].mean() > 1.1 * edge_map[~drawn].mean()


def test_of_a_window_of_one_pixel_classes_give_the_probability_of_an_edge(trained: Path, tmp_path: Path) -> None:
    """Every patch of an edge has a boundary at its centre, and no other has."""
    settings = Settings(stride=1, side=1)
    places = trained / "dataset", trained / "split", trained / "index/softmax"
    pixels = photograph(outlines(SIZE, seed=5))[: SIDE + 2, : SIDE + 1]
    found = Detector.load(*places, settings).detect(pixels)
    (task,) = Split.open(places[1]).tasks
    before = SIDE // 2
    padded = np.pad(pixels, [(before, before)] * 2 + [(0, 0)], mode="reflect")
    describe = class_probabilities(load_embedder(places[2] / "snapshot"), places[2], task.name, "head")
    for y, x in ((0, 0), (10, 20), (SIDE + 1, SIDE)):
        shares = describe(padded[None, y : y + SIDE, x : x + SIDE])
        assert found[y, x] == pytest.approx(1 - shares[0, task.classes.index("none")], abs=1e-5)


def test_classes_go_by_the_rule_that_is_asked(trained: Path) -> None:
    """The windows of the classes, by the probabilities of any rule of the index."""
    places = trained / "dataset", trained / "split", trained / "index/softmax"
    pixels = photograph(outlines(SIZE, seed=7))
    found = {}
    for rule in (None, "head", "head_adjusted", "cluster_wise"):
        found[rule] = Detector.load(*places, Settings(stride=6, side=4, rule=rule)).detect(pixels)
    np.testing.assert_array_equal(found[None], found["head"])
    assert not np.allclose(found["head"], found["head_adjusted"])
    assert not np.allclose(found["head"], found["cluster_wise"])
    one, nothing = Settings(stride=6, side=1, rule="head_adjusted"), "none"
    (task,) = Split.open(places[1]).tasks
    describe = class_probabilities(load_embedder(places[2] / "snapshot"), places[2], task.name, "head_adjusted")
    padded = np.pad(pixels, [(SIDE // 2, SIDE // 2)] * 2 + [(0, 0)], mode="reflect")
    shares = describe(padded[None, 3 : 3 + SIDE, 9 : 9 + SIDE])
    edge = 1 - shares[0, task.classes.index(nothing)]
    assert Detector.load(*places, one).detect(pixels)[3, 9] == pytest.approx(edge, abs=1e-5)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--rule", "nearest"), "there is no rule 'nearest'"),
        (("--rule", "head", "--transfer", "clusters"), "leave one of them out"),
        (("--neighbours", "2", "--transfer", "classes"), "`neighbours` is of `transfer: clusters` and `patches`"),
        (("--neighbours", "20", "--rule", "head"), "`neighbours` is of `transfer: clusters` and `patches`"),
        (("--patches", "2", "--transfer", "classes"), "`patches` is of `transfer: patches`, not of classes"),
        (("--patches", "1", "--transfer", "clusters"), "`patches` is of `transfer: patches`, not of clusters"),
        (("--patches", "2"), "`patches` is of `transfer: patches`, which has to be asked"),
        (("--patches", "2", "--rule", "head"), "`patches` is of `transfer: patches`, not of classes"),
        (("--precision", "half"), "precision is 'half'; it should be 'float32' or 'bfloat16'"),
    ],
)
def test_options_that_cannot_be_or_would_do_nothing_are_told(
    trained: Path, tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    image = sorted((trained / "data/images/test").iterdir())[:1]
    status, text = predict(trained, image, tmp_path / "maps", *words)
    assert status == 1
    assert sentence in text
    assert not (tmp_path / "maps").exists()


def test_a_window_beyond_the_patch_is_told(trained: Path) -> None:
    places = trained / "dataset", trained / "split", trained / "index/hog"
    Detector.load(*places, Settings(side=SIDE))
    with pytest.raises(DataError, match="`stride` is 36, more than the 35 pixels of a patch"):
        Detector.load(*places, Settings(stride=SIDE + 1))
    with pytest.raises(DataError, match="`side` is 36, more than the 35 pixels of a patch"):
        Detector.load(*places, Settings(side=SIDE + 1))


def test_a_scale_too_small_for_one_image_is_told_before_any_map_is_made(trained: Path, tmp_path: Path) -> None:
    Image.new("RGB", (90, 80)).save(tmp_path / "large.png")
    Image.new("RGB", (56, 48)).save(tmp_path / "small.png")
    files = [tmp_path / "large.png", tmp_path / "small.png"]
    status, text = predict(trained, files, tmp_path / "maps", "--scale", "0.5")
    assert status == 1
    assert "small.png is 48×56, 24×28 at the scale 0.5, smaller than a patch of 35×35" in text
    assert "edges: " not in text
    places = trained / "dataset", trained / "split", trained / "index/hog"
    with pytest.raises(DataError, match=r"20 is .* at the scale 0.5, smaller than a patch"):
        detect.run(*places, tmp_path / "maps", params=detect.Params(stride=9, scales=[1.0, 0.5]))
    assert not (tmp_path / "maps").exists()


def test_a_rule_that_the_index_has_not_is_told(trained: Path) -> None:
    places = trained / "dataset", trained / "split", trained / "index/hog"
    with pytest.raises(DataError, match="head"):
        Detector.load(*places, Settings(rule="head"))


def test_in_half_precision_a_map_is_nearly_the_same(trained: Path) -> None:
    places = trained / "dataset", trained / "split", trained / "index/softmax"
    pixels = photograph(outlines(SIZE, seed=8))
    for way in ({"transfer": "clusters", "neighbours": 1}, {"transfer": "classes"}):
        full, half = (
            Detector.load(*places, Settings.model_validate({"stride": 6, "precision": precision} | way)).detect(pixels)
            for precision in ("float32", "bfloat16")
        )
        # The nearest cluster mostly stays the nearest.
        assert "neighbours" in way or not np.array_equal(full, half)
        assert np.corrcoef(full.ravel(), half.ravel())[0, 1] > 0.95


def test_where_they_are_not_given_neighbours_and_patches_are_the_defaults(trained: Path) -> None:
    places = trained / "dataset", trained / "split", trained / "index/hog"
    pixels = photograph(outlines(SIZE, seed=9))
    for way in ({"transfer": "clusters", "neighbours": 20}, {"transfer": "patches", "neighbours": 20, "patches": 1}):
        asked, silent = (
            Detector.load(*places, Settings.model_validate({"stride": 12} | how)).detect(pixels)
            for how in (way, {"transfer": way["transfer"]})
        )
        np.testing.assert_array_equal(asked, silent)


def test_several_scales_are_the_mean_of_each(trained: Path, tmp_path: Path) -> None:
    places = trained / "dataset", trained / "split", trained / "index/softmax"
    pixels = photograph(outlines((70, 80), seed=6))
    alone = [Detector.load(*places, Settings(stride=4, scales=[scale])).detect(pixels) for scale in (1.0, 0.6)]
    both = Detector.load(*places, Settings(stride=4, scales=[1.0, 0.6])).detect(pixels)
    np.testing.assert_allclose(both, np.mean(alone, axis=0), atol=1e-6)


def test_detect_and_score_are_of_the_subset_that_is_asked(trained: Path, tmp_path: Path) -> None:
    places = trained / "dataset", trained / "split", trained / "index/hog"
    settings = {"stride": 6, "subset": "validation", "photographs": 2}
    assert detect.run(*places, tmp_path / "maps", params=detect.Params.model_validate(settings)) == {"photographs": 2}
    assert sorted(maps_of(tmp_path / "maps")) == ["10", "11"]
    found = score.run(places[0], tmp_path / "maps", tmp_path / "scores", params=score.Params(thresholds=9, processes=1))
    assert found["ods"] == read_json(tmp_path / "scores/results.json")["ods"]["f"]
    assert (tmp_path / "scores/pictures.png").stat().st_size > 0
    page = (tmp_path / "scores/report.html").read_text(encoding="utf-8")
    assert f"ODS {found['ods']:.3f}, OIS {found['ois']:.3f}, AP {found['ap']:.3f} on 2 photographs" in page
    assert page.count('<img src="data:image/') == 2


@pytest.mark.parametrize("lacking", [["val"], ["val", "test"]])
def test_a_subset_that_the_source_lacks_is_the_splits(tmp_path: Path, lacking: list[str]) -> None:
    """And no map is made of a photograph that the model was trained on."""
    write_photographs(tmp_path / "data", each=8)
    for subset in lacking:
        for folder in ("images", "groundTruth"):
            shutil.rmtree(tmp_path / "data" / folder / subset)
    run_steps(tmp_path)
    places = tmp_path / "dataset", tmp_path / "split", tmp_path / "index/hog"
    table = Split.open(places[1]).samples
    for subset in ("validation", "test", "train"):
        params = detect.Params.model_validate({"stride": 20, "subset": subset})
        detect.run(*places, tmp_path / subset, params=params)
        groups = set(table.loc[table["subset"] == subset, "group"])
        assert sorted(maps_of(tmp_path / subset)) == sorted(Path(group).name for group in groups)


def test_a_subset_without_a_photograph_is_told(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "split", tmp_path / "split")
    (tmp_path / "split/digests.json").unlink()
    table = Split.open(tmp_path / "split")
    table.samples["subset"] = table.samples["subset"].replace("test", "validation")
    table.write(tmp_path / "split")
    params = detect.Params.model_validate({"stride": 20})
    with pytest.raises(DataError, match=r"has no photograph of the subset test; set `detect.subset` to another"):
        detect.run(trained / "dataset", tmp_path / "split", trained / "index/hog", tmp_path / "maps", params=params)
    assert not (tmp_path / "maps").exists()


def test_maps_of_other_photographs_are_not_scored(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "maps").mkdir()
    Image.new("L", SIZE).save(tmp_path / "maps" / "other.png")
    with pytest.raises(DataError, match=r"has no photograph of .*other\.png"):
        score.run(trained / "dataset", tmp_path / "maps", tmp_path / "scores", params=score.Params(processes=1))
    assert not (tmp_path / "scores").exists()


def test_without_a_map_there_is_nothing_to_score(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "maps").mkdir()
    with pytest.raises(DataError, match="no map"):
        score.run(trained / "dataset", tmp_path / "maps", tmp_path / "scores", params=score.Params(processes=1))


def small(folder: Path) -> list[Path]:
    Image.new("RGB", (SIDE - 1, 60)).save(folder / "a.png")
    return [folder / "a.png"]


def no_image(folder: Path) -> list[Path]:
    (folder / "a.png").write_text("no image")
    return [folder / "a.png"]


def empty(folder: Path) -> list[Path]:
    (folder / "a.png").touch()
    return [folder / "a.png"]


def cut_off(folder: Path) -> list[Path]:
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3)).astype(np.uint8)
    Image.fromarray(noise).save(folder / "a.png")
    (folder / "a.png").write_bytes((folder / "a.png").read_bytes()[:2000])
    return [folder / "a.png"]


def absent(folder: Path) -> list[Path]:
    return [folder / "a.png"]


def twice(folder: Path) -> list[Path]:
    for name in ("a.png", "a.jpg"):
        Image.new("RGB", (60, 60)).save(folder / name)
    return [folder / "a.png", folder / "a.jpg"]


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (small, "smaller than a patch of 35×35"),
        (no_image, "a.png: not an image: its format is not recognised; give image files"),
        (empty, "a.png: not an image: the file is empty; give image files"),
        (cut_off, "a.png: truncated image: image file is truncated; give image files"),
        (absent, "a.png: No such file or directory; give image files"),
        (twice, "several images have the name ['a']"),
    ],
)
def test_what_cannot_be_predicted_is_one_sentence_and_writes_nothing(
    trained: Path, tmp_path: Path, make: Any, sentence: str
) -> None:
    status, text = predict(trained, make(tmp_path), tmp_path / "maps")
    assert status == 1
    assert sentence in text
    assert not (tmp_path / "maps").exists()


def test_a_data_set_without_photographs_is_told(trained: Path, tmp_path: Path) -> None:
    write_tiny_dataset(tmp_path / "digits")
    image = sorted((trained / "data/images/test").iterdir())[:1]
    status, text = predict(trained, image, tmp_path / "maps", "--dataset", str(tmp_path / "digits"))
    assert status == 1
    assert "different data" in text


def test_an_index_of_a_data_set_without_photographs_is_told(trained: Path, tmp_path: Path) -> None:
    write_tiny_dataset(tmp_path / "digits")
    with pytest.raises(DataError, match="has no photographs with annotations"):
        Detector.load(tmp_path / "digits", trained / "split", trained / "index/softmax", Settings())


def test_the_steps_know_the_background(trained: Path) -> None:
    info = json.loads((trained / "split/split.json").read_text())
    assert info["tasks"][0]["background"] == "none"
