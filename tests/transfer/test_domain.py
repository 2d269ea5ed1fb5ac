"""Domains of stored features, and the command that compares them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from tiny import run_stage
from typer.testing import CliRunner

from longtail.__main__ import app
from longtail.data.feature_set import FeatureSet
from longtail.data.splits import Split
from longtail.errors import DataError
from longtail.transfer import domain as module
from longtail.transfer.domain import read_domain
from longtail.transfer.similarity import domain_distance


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("block", [1, 7, 10_000])
def test_a_class_is_the_mean_of_its_training_images(
    domains: Path, monkeypatch: pytest.MonkeyPatch, block: int, *, normalise: bool
) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    found = read_domain(domains / "birds/features", normalise=normalise)
    split = Split.open(domains / "birds/split")
    labels, stored = split.train_labels(split.tasks[0]), FeatureSet.open(domains / "birds/features", split)
    for place, mean in enumerate(found.means):
        features = stored.plain(np.flatnonzero(labels == place)).astype(np.float64)
        features /= np.linalg.norm(features, axis=1, keepdims=True) if normalise else 1
        assert np.allclose(mean, features.mean(0))
    assert found.counts.tolist() == split.info.subsets["train"].counts["digit"]
    assert (found.classes, found.task) == (["zero", "one", "two"], "digit")


def test_a_background_class_and_unknown_labels_are_no_part_of_a_domain(domains: Path) -> None:
    found = read_domain(domains / "photos/features", task="kids")
    split = Split.open(domains / "photos/split")
    assert found.classes == ["no", "yes"]
    assert found.counts.tolist() == split.info.subsets["train"].counts["kids"][:2]


def test_what_is_wrong_with_a_domain_is_one_sentence(domains: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has several tasks: name one of \['digit', 'kids'\] with --task"):
        read_domain(domains / "photos/features")
    with pytest.raises(DataError, match="has no task 'bird'"):
        read_domain(domains / "photos/features", task="bird")
    with pytest.raises(DataError, match="come from different data sets"):
        read_domain(domains / "photos/features", domains / "birds/split")
    with pytest.raises(DataError, match="is not a split"):
        read_domain(shutil.copytree(domains / "birds/features", tmp_path / "features"))
    with pytest.raises(DataError, match=r"there is no directory .*nowhere.* of stored features"):
        read_domain(tmp_path / "nowhere")


def similarity(*words: object) -> str:
    done = CliRunner().invoke(app, ["similarity", *map(str, words)])
    if isinstance(done.exception, DataError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_command_says_what_the_functions_find(domains: Path, tmp_path: Path) -> None:
    source, target = domains / "photos/features", domains / "birds/features"
    shutil.copytree(target, tmp_path / "elsewhere")
    words = [source, f"{tmp_path / 'elsewhere'}:{domains / 'birds/split'}", target, "--task", "digit", "--least", 20]
    found = json.loads(similarity(*words, "--json"))
    expected = domain_distance(read_domain(source, task="digit"), read_domain(target))
    assert [one["distance"] for one in found["targets"]] == [pytest.approx(expected)] * 2
    assert found["targets"][0]["similarity"] == pytest.approx(np.exp(-0.01 * expected))
    text = similarity(*words, "--gamma", "0.1", "--select", "2", "--classes", tmp_path / "chosen.yaml")
    assert f"distance {expected:.3f}, similarity {np.exp(-0.1 * expected):.3f}" in text
    assert "selected 2 of 3 classes" in text
    nearest = sorted(found["targets"][0]["of_classes"].items(), key=lambda one: -one[1])[:2]
    chosen = yaml.safe_load((tmp_path / "chosen.yaml").read_text(encoding="utf-8"))
    assert set(chosen["classes"]["digit"]) == {name for name, _ in nearest}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no class of 200 images or more, the largest has 22: ask for fewer with --least"),
        (["--least", "1", "--gamma", "inf"], "γ is inf"),
        (["--classes", "x.yaml"], "say with --select how many"),
        (["--least", "1", "--select", "4"], "4 classes are asked for, and the source has 3"),
    ],
)
def test_wrong_words_are_one_sentence(domains: Path, words: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        similarity(domains / "photos/features", domains / "birds/features", "--task", "digit", *words)


def test_features_of_two_backbones_are_not_compared(domains: Path, tmp_path: Path) -> None:
    for name in ("dataset", "split"):
        (tmp_path / name).symlink_to(domains / "birds" / name)
    run_stage(tmp_path, "start", seed=5)
    run_stage(tmp_path, "features")
    with pytest.raises(DataError, match="are of two backbones"):
        similarity(tmp_path / "features", domains / "birds/features", "--least", 1)
