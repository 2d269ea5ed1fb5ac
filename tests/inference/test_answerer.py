"""A trained model as a whole: what it answers of images unlike its own, and of none."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from longtail.data.dataset import PackedDataset
from longtail.data.splits import Split
from longtail.errors import DataError
from longtail.inference.answerer import Answerer

Pixels = npt.NDArray[np.uint8]
RNG = np.random.default_rng(0)


def test_images_of_one_colour_are_flagged_noise_often_and_test_images_hardly_ever(trained: Path) -> None:
    """The flag is a distance in the embedding, which was trained for its own classes: it is not sure of noise."""
    packed, split = PackedDataset.open(trained / "dataset"), Split.open(trained / "split")
    answerer = Answerer.load(trained / "index/softmax")
    test = packed.images(split.samples["row"].to_numpy()[split.positions("test")])

    def flagged(images: Pixels) -> float:
        return float(answerer.answer(images)["label"].unlike.mean())

    shape = (200, *answerer.embedder.image_shape)
    false_alarms = answerer.tasks["label"].familiarity.false_alarms
    assert false_alarms == pytest.approx(1 / 25)
    assert flagged(test) <= 5 * false_alarms
    dark = RNG.normal(20, 5, shape).clip(0, 255).astype(np.uint8)
    assert flagged(dark) > 0.9
    noise = RNG.integers(0, 256, shape, dtype=np.uint8)
    assert flagged(noise) > 5 * false_alarms


def test_no_image_has_no_answer(trained: Path) -> None:
    answerer = Answerer.load(trained / "index/softmax")
    found = answerer.answer(np.empty((0, *answerer.embedder.image_shape), np.uint8))["label"]
    assert found.probabilities.shape == (0, 3)
    assert {len(values) for values in (found.codes, found.probability, found.unlike, *found.nearest)} == {0}


@pytest.mark.parametrize("damage", ["{}", '{"label": {}}', '{"label": {"head": {"score": 1}}}', "[]", "nothing"])
def test_an_index_without_temperatures_is_one_sentence(trained: Path, tmp_path: Path, damage: str) -> None:
    for entry in (trained / "index/softmax").iterdir():
        if entry.name != "rules.json":
            (tmp_path / entry.name).symlink_to(entry)
    (tmp_path / "rules.json").write_text(damage)
    with pytest.raises(DataError, match=r"rules\.json.*run (`longtail index`|the step that makes it) again") as refused:
        Answerer.load(tmp_path)
    assert "\n" not in str(refused.value)
