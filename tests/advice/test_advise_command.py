"""`longtail advise`: what it says of data that are even, uneven, far too few; JSON by its schema; bad input."""

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest
from tiny import DIGIT, SHAPE, run_pipeline, run_stage, write_tiny_dataset
from typer.testing import CliRunner

from experiments.matrix import read_matrix
from longtail.__main__ import app
from longtail.advice.advice import Advice, advise
from longtail.advice.collect import to_collect
from longtail.advice.experiment import pretrained
from longtail.advice.facts import FINE, facts
from longtail.advice.pretraining import to_pretraining
from longtail.advice.tested import told_by_test
from longtail.advice.told import schema
from longtail.data.dataset import PackedDataset, write_dataset
from longtail.errors import DataError
from longtail.stages import ingest
from longtail.transfer.domain import read_domain
from longtail.transfer.similarity import domain_distance


def said(*words: object) -> str:
    done = CliRunner().invoke(app, ["advise", *map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return " ".join(done.output.replace("\N{NO-BREAK SPACE}", " ").split())


def values(*words: object) -> Any:
    done = CliRunner().invoke(app, ["advise", *map(str, words), "--json"], catch_exceptions=False)
    return json.loads(done.output)


@pytest.fixture(scope="module")
def two_tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packed set with its split, and features of its images."""
    root = tmp_path_factory.mktemp("two")
    write_tiny_dataset(root / "dataset", two_tasks=True)
    run_pipeline(root, stages=("split", "start", "features"))
    return root


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded digits, one render each, and a split of 1:50."""
    root = tmp_path_factory.mktemp("digits")
    params = ingest.Params.model_validate({"source": {"kind": "digits", "copies": 1}, "image_shape": SHAPE})
    ingest.run(root, root / "dataset", params=params)
    run_stage(root, "split", validation=0.15, imbalance={"kind": "exponential", "factor": 50})
    return root


def of_sizes(
    path: Path, sizes: list[int], *, equal: bool = False, subset: Callable[[str, int], str] | None = None
) -> Path:
    """Noise, of so many images a class; `equal`: the same image every time; `subset`: the official one, of a class and
    the number of an image.
    """
    count, classes = sum(sizes), DIGIT.classes[: len(sizes)]
    samples = pd.DataFrame(
        {
            "id": [f"image-{i}" for i in range(count)],
            "source": "noise",
            "group": [f"group-{i}" for i in range(count)],
            "subset": None,
            "digit": np.repeat(classes, sizes),
        }
    )
    if subset:
        samples["subset"] = [subset(name, number) for number, name in enumerate(samples["digit"])]
    images = np.random.default_rng(0).integers(0, 255, (count, *SHAPE), dtype=np.uint8)
    images = images[[0] * count] if equal else images
    task = DIGIT.model_copy(update={"classes": classes})
    write_dataset(path, samples, [images], tasks=[task], image_shape=SHAPE, provenance="noise", licence="none")
    return path


def test_of_thirty_images_it_says_that_nothing_can_be_measured(tmp_path: Path) -> None:
    text = said(of_sizes(tmp_path / "thirty", [10, 10, 10]))
    assert "No method can be compared with another yet" in text
    assert "NOTHING in the mean of the classes" in text
    assert "expected to be best: nobody can say" in text
    assert "'zero': 2 test images, which tell no difference, and the accuracy of one model to ±40.5 points" in text
    assert "7, 1 and 2 of 'zero'" in text


def test_of_one_image_in_five_hundred_it_says_what_to_collect(tmp_path: Path) -> None:
    found = advise(of_sizes(tmp_path / "rare", [1500, 3]))
    assert found.useless
    (wanted,) = found.collect[0].wanted
    assert (wanted.name, wanted.share) == ("one", pytest.approx(1, abs=0.01))
    assert wanted.images >= 5 * (wanted.test - 1)
    assert wanted.train > 0
    # More of the class makes another table the nearest: hold the assumptions fixed.
    after = facts(of_sizes(tmp_path / "more", [1500, 3 + wanted.images]), None, None)
    told = told_by_test(after, found.near)
    (collection,) = to_collect(after, told, 0.1)
    assert not collection.wanted
    parts = found.collect[0].smallest
    assert told[0].smallest == pytest.approx(parts[1.0], rel=0.05)
    told_by = [least for least in parts.values() if least is not None]
    assert told_by == sorted(told_by, reverse=True)


def test_a_class_that_no_split_can_divide_is_said_and_no_experiment_is_written(tmp_path: Path) -> None:
    data, file = of_sizes(tmp_path / "lone", [60, 1]), tmp_path / "ladder.yaml"
    text = said(data)
    assert "`longtail split` refuses it: class 'one' of task 'digit' has 1 samples" in text
    assert "These data cannot be divided yet" in text
    assert "Compare methods on this test subset" not in text
    with pytest.raises(DataError, match="no experiment can be written, since the data set cannot be divided"):
        said(data, "--experiment", file)
    assert not file.exists()


def test_official_subsets_that_lack_a_class_stay_what_they_are(tmp_path: Path) -> None:
    data = of_sizes(
        tmp_path / "official", [200, 20], subset=lambda name, number: "test" if number % 5 == 0 else "train"
    )
    lacking = of_sizes(
        tmp_path / "lacking",
        [200, 20],
        subset=lambda name, number: "test" if number % 5 == 0 and name == "zero" else "train",
    )
    for path, of_one in ((data, 4), (lacking, 0)):
        found = facts(path, None, None)
        assert found.test_is_official
        assert [one.test for one in found.tasks[0].classes] == [40, of_one]
        assert (found.fault is not None) == (of_one == 0)
    assert "as if they were divided by their official subsets" in said(lacking)
    (collection,) = advise(lacking).collect
    assert all(one.images == one.train + one.test for one in collection.wanted)


def test_even_classes_have_nothing_to_make_up_for(tmp_path: Path) -> None:
    text = said(of_sizes(tmp_path / "even", [400, 400]))
    assert "(the classes are even, so that is all)" in text
    assert "step 2" not in text.split("The nearest data set")[0]


def test_a_task_that_says_nothing_is_left_out_and_named(tmp_path: Path) -> None:
    packed = PackedDataset.open(of_sizes(tmp_path / "one", [60, 40]))
    constant = DIGIT.model_copy(update={"name": "constant", "classes": ["a", "b"]})
    samples = packed.samples.assign(constant="a").astype(object)
    write_dataset(
        tmp_path / "two",
        samples,
        [packed.images(np.arange(100))],
        tasks=[packed.info.tasks[0], constant],
        image_shape=SHAPE,
        provenance="noise",
        licence="none",
    )
    found = facts(tmp_path / "two", None, None)
    assert [task.name for task in found.tasks] == ["digit"]
    assert "all labels of the task 'constant' are 'a'" in found.left_out["constant"]
    assert "'constant' is left out: all labels" in said(tmp_path / "two")


def test_a_single_class_has_nothing_to_tell_apart(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="all labels of the task 'digit' are 'zero', so there is nothing to tell apart"):
        said(of_sizes(tmp_path / "one", [30]))


def test_rare_classes_and_few_labels_are_among_the_images_that_granularity_is_measured_on(tmp_path: Path) -> None:
    """Of 4,000 images 2,000 are taken; by chance half of a class of 12, and of 60 labels 30."""
    data = of_sizes(tmp_path / "rare", [3988, 12])
    (task,) = facts(data, None, None).tasks
    assert task.fineness is not None
    assert task.fineness.images == FINE
    assert task.fineness.finest[0] == "one"
    packed = PackedDataset.open(data)
    few = packed.samples.assign(digit=packed.samples["digit"].where(np.arange(4000) >= 3940, None))
    images = packed.images(np.arange(4000))
    write_dataset(
        tmp_path / "few", few, [images], tasks=packed.info.tasks, image_shape=SHAPE, provenance="noise", licence="none"
    )
    (task,) = facts(tmp_path / "few", None, None).tasks
    assert task.fineness is not None
    assert task.fineness.images == 60
    assert "98 % of the images have no label" in said(tmp_path / "few")


def test_what_to_collect_is_divided_as_the_split_divides(tmp_path: Path) -> None:
    data = of_sizes(tmp_path / "data", [100, 60])
    wanted = {}
    for share in (0.2, 0.5):
        split = tmp_path / f"split-{share}"
        run_stage(tmp_path, "split", paths={"dataset": "data", "split": split.name}, test=share)
        found = advise(data, split=split)
        assert found.facts.shares == pytest.approx({"test": share, "train": (1 - share) * 0.75})
        wanted[share] = found.collect[0].wanted[0]
        assert wanted[share].images == math.ceil(wanted[share].test / share)
        assert f"of which the split takes {100 * share:.0f} % to test" in said(data, "--split", split)
    assert wanted[0.5].images < wanted[0.2].images


def test_a_table_that_is_far_leaves_no_step_out(tmp_path: Path) -> None:
    """It is a hint and no more."""
    found = advise(of_sizes(tmp_path / "data", [40, 20]))
    lost = [step for step in found.plan.steps if step.gain and step.gain.significant and step.gain.mean < 0]
    assert found.near.far
    assert lost
    assert all(step.tried for step in found.plan.steps)
    assert not any(replace(step, hint=False).tried for step in lost)


def test_even_classes_have_no_ladder(two_tasks: Path) -> None:
    text = said(of_sizes(two_tasks / "even", [300, 300]))
    assert "there is no imbalance to correct, so the first step is all" in text
    assert "2. adjusted" not in text


def test_it_counts_the_classes_the_missing_labels_and_leaves_out_the_background(two_tasks: Path) -> None:
    found = advise(two_tasks / "dataset", split=two_tasks / "split")
    digit, kids = found.facts.tasks
    assert [one.name for one in kids.classes] == ["no", "yes"]
    assert kids.missing == pytest.approx(1 / 3, abs=0.02)
    for task in (digit, kids):
        for one in task.classes:
            assert one.test_groups * 2 == one.test == sum(one.sizes)
    assert sum(one.images for one in digit.classes) == found.facts.images == 120
    assert found.facts.groups == 60


def test_features_are_compared_in_the_place_of_pixels(two_tasks: Path) -> None:
    words = (two_tasks / "dataset", "--split", two_tasks / "split")
    assert "by pixels of 120 images" in said(*words)
    assert "by features of 120 images" in said(*words, "--features", two_tasks / "features")


def test_the_similarity_to_the_pretraining_is_1_to_itself(two_tasks: Path) -> None:
    features, split = two_tasks / "features", two_tasks / "split"
    found = advise(two_tasks / "dataset", features, split, features)
    assert found.pretraining is not None
    assert found.pretraining.similarity == pytest.approx(1, abs=1e-6)
    words = two_tasks / "dataset", "--features", features, "--split", split, "--pretraining", features
    assert "similarity to the pretraining: 1.000" in said(*words)


def test_classes_of_the_pretraining_too_small_for_their_similarity_are_dropped(
    two_tasks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `longtail similarity` drops them; where all are too small, all are kept."""
    features, split = two_tasks / "features", two_tasks / "split"
    domain = read_domain(features, split, DIGIT.name)
    domain = replace(domain, counts=np.array([22, 23, 24]))
    monkeypatch.setattr("longtail.advice.pretraining.read_domain", lambda *_: domain)
    for least, kept in ((23, [False, True, True]), (24, [False, False, True]), (25, [True, True, True])):
        monkeypatch.setattr("longtail.advice.pretraining.LEAST", least)
        found = to_pretraining(features, split, features)
        some = domain.of(name for name, one in zip(domain.classes, kept, strict=True) if one)
        assert found is not None
        assert found.distance == pytest.approx(domain_distance(some, domain), abs=1e-9)


@pytest.mark.parametrize("side", [32, 63, 64, 1024])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_network_from_scratch_is_advised_for_small_images_alone(two_tasks: Path, side: int, channels: int) -> None:
    """Of 1,024 pixels its embedding would have a layer of half a gigabyte."""
    found = replace(facts(two_tasks / "dataset", None, None), shape=(side, side, channels))
    assert pretrained(found, None) == (side >= 64)


@pytest.mark.parametrize("words", [[], ["--difference", "0.3"]])
def test_json_is_as_its_schema_says(two_tasks: Path, words: list[str]) -> None:
    found = values(two_tasks / "dataset", "--split", two_tasks / "split", *words)
    jsonschema.validate(found, schema())
    assert {"facts", "near", "told", "plan", "collect"} <= set(found)
    assert found["collect"][0]["difference"] == (0.3 if words else 0.1)
    assert "sizes" not in found["facts"]["tasks"][0]["classes"][0]


def test_json_of_equal_images_has_no_number_that_json_lacks(tmp_path: Path) -> None:
    def refuse(number: str) -> float:
        raise AssertionError(f"{number} is no JSON")

    path = of_sizes(tmp_path / "equal", [30, 30], equal=True)
    done = CliRunner().invoke(app, ["advise", str(path), "--json"], catch_exceptions=False)
    jsonschema.validate(json.loads(done.output, parse_constant=refuse), schema())


def test_a_table_can_be_left_out(digits: Path) -> None:
    def near(without: str | None) -> Advice:
        return advise(digits / "dataset", split=digits / "split", without=without)

    own = near(None)
    assert own.near.table.name == "digits_toolbox"
    assert not own.near.far
    assert near("digits_toolbox").near.table.name != "digits_toolbox"
    assert list(own.others.values()) == sorted(own.others.values())


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["there-is-none"], "is not a packed dataset"),
        (["{dataset}", "--features", "{features}"], "give the split that they were made with, as --split"),
        (["{dataset}", "--split", "{dataset}"], "is not a split"),
        (["{dataset}", "--split", "{split}", "--pretraining", "{features}"], "--pretraining compares features"),
        (["{other}", "--split", "{split}"], "come from different data sets"),
        (["{other}", "--split", "{split}", "--features", "{features}"], "come from different data sets"),
        (["{dataset}", "--experiment", "ladder.txt"], "name it ladder.yaml"),
        (["{dataset}", "--experiment", "no/where/ladder.yaml"], "name a file in a directory that is there"),
        (["{dataset}", "--split", "{split}", "--experiment", "{root}/x.yaml"], "was not made by `longtail ingest`"),
    ],
)
def test_bad_input_is_one_sentence(two_tasks: Path, tmp_path: Path, words: list[str], sentence: str) -> None:
    places = {name: two_tasks / name for name in ("dataset", "split", "features")}
    write_tiny_dataset(tmp_path / "other", seed=5)
    asked = [word.format(**places, other=tmp_path / "other", root=tmp_path) for word in words]
    with pytest.raises(DataError) as error:
        said(*asked)
    assert sentence in str(error.value)
    assert len(error.value.sentences) == 1
    assert not (tmp_path / "x.yaml").exists()


def test_an_experiment_has_the_ladder_and_the_sections_that_made_the_data(digits: Path, tmp_path: Path) -> None:
    file = tmp_path / "ladder.yaml"
    said(digits / "dataset", "--split", digits / "split", "--experiment", file)
    matrix = read_matrix(file)
    for cell in matrix.cells():
        cell.check(matrix.rules_of(cell.method))
    assert matrix.base["ingest"] == {"source": {"kind": "digits", "copies": 1}, "image_shape": list(SHAPE)}
    assert matrix.base["split"]["imbalance"] == {"kind": "exponential", "factor": 50}
    assert "balanced softmax" in matrix.methods


def test_features_after_a_training_are_for_no_experiment(digits: Path, tmp_path: Path) -> None:
    """Its rows would begin at another budget than is written."""
    for stage in ("start", "fit"):
        run_stage(digits, stage, network={"backbone": "small_cnn", "embedding": 8})
    run_stage(digits, "features", paths={"model": "softmax/model", "features": "trained"}, name="trained")
    asked = digits / "dataset", "--split", digits / "split", "--features", digits / "trained"
    said(*asked)
    with pytest.raises(DataError, match="`longtail fit` has trained"):
        said(*asked, "--experiment", tmp_path / "ladder.yaml")
    assert not (tmp_path / "ladder.yaml").exists()


@pytest.mark.slow
def test_the_experiment_runs(digits: Path, tmp_path: Path) -> None:
    from experiments.place import Place
    from experiments.results import Results
    from experiments.run import run_all

    file = tmp_path / "ladder.yaml"
    said(digits / "dataset", "--split", digits / "split", "--experiment", file)
    matrix = read_matrix(file)
    passes = matrix.budget("cross-entropy")
    file.write_text(file.read_text().replace(str(passes), "512"), encoding="utf-8")
    matrix = read_matrix(file).model_copy(update={"seeds": [0]})
    place = Place(tmp_path, tmp_path / "work", "ladder")
    shutil.rmtree(place.work, ignore_errors=True)
    assert run_all("ladder", matrix, place, 1) == []
    found = Results.of(matrix, place)
    assert len(found.found) == len(matrix.cells())
    assert [one for one, _ in found.contenders() if one == "balanced softmax"]
