"""`longtail propose` by a real model: what it keeps, in which order, with what beside it, and what it refuses."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from picture_files import CLASSES, picture
from PIL import Image

from longtail.artifacts.lineage import Lineage
from longtail.data.dataset import PackedDataset
from longtail.data.splits import Split
from longtail.errors import DataError
from longtail.inference.answerer import Answerer
from longtail.inference.prediction import predict
from longtail.labelling.proposal import propose
from longtail.labelling.queue import Queue
from longtail.labelling.settings import Settings

PARTS = {"dataset": "dataset", "split": "split"}


def proposed(trained: Path, tmp_path: Path, *pool: Path, **settings: Any) -> Queue:
    parts = {name: trained / path for name, path in PARTS.items()}
    propose(list(pool), trained / "index/softmax", tmp_path / "queue", Settings(**{**parts, **settings}))
    return Queue.open(tmp_path / "queue")


def test_what_is_proposed_is_what_predict_answers(trained: Path, tmp_path: Path) -> None:
    predict([trained / "photos"], trained / "index/softmax", as_json=False, out=tmp_path / "lines")
    lines = [json.loads(line) for line in (tmp_path / "lines").read_text().splitlines()]
    sure = {line["file"]: line["tasks"]["label"] for line in lines if line["tasks"]["label"]["probability"] > 0.9}
    queue = proposed(trained, tmp_path, trained / "photos", confidence=0.9)
    found = {item.source: item for item in queue.items.values()}
    assert 0 < len(sure) == len(found) == queue.info.counts.items
    assert queue.info.counts.looked_at == len(lines)
    assert queue.info.counts.unsure == len(lines) - len(sure)
    for file, answer in sure.items():
        assert found[file].proposed == answer["class"]
        assert found[file].confidence == pytest.approx(answer["probability"], abs=1e-5)
        assert found[file].item == hashlib.sha256(Path(file).read_bytes()).hexdigest()


def test_class_by_class_the_surest_first_and_a_share_seen_twice(trained: Path, tmp_path: Path) -> None:
    queue = proposed(trained, tmp_path, trained / "photos", confidence=0.3, twice=0.25)
    places = [(CLASSES.index(item.proposed), -item.confidence) for item in queue.items.values()]
    assert places == sorted(places)
    twice = [item.twice for item in queue.items.values()]
    assert sum(twice) == queue.info.counts.twice == round(0.25 * len(twice))


def test_at_random_is_the_seeds_order(trained: Path, tmp_path: Path) -> None:
    orders = [
        list(proposed(trained, tmp_path / str(place), trained / "photos", by="random", seed=seed).items)
        for place, seed in enumerate((3, 3, 4))
    ]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2])


def test_by_prediction_sets_the_largest_come_first(trained: Path, tmp_path: Path) -> None:
    queue = proposed(trained, tmp_path, trained / "photos", by="prediction_set", confidence=0)
    items = list(queue.items.values())
    sizes = [len(item.prediction_set or ()) for item in items]
    assert sizes == sorted(sizes, reverse=True)
    split, answerer = Split.open(trained / "split"), Answerer.load(trained / "index/softmax")
    packed = PackedDataset.open(trained / "dataset")
    validation = set(packed.samples["source"].iloc[split.samples["row"][split.positions("validation")]])
    own = [item for item in items if item.source.removeprefix(f"{trained / 'photos'}/") in validation]
    right = [item.source.split("/")[-2] in (item.prediction_set or ()) for item in own]
    assert np.mean(right) >= 0.9  # of the samples that the threshold comes from
    assert answerer.tasks["label"].task.classes == list(CLASSES)


def test_wrong_labels_of_validation_are_suspects(trained: Path, tmp_path: Path) -> None:
    """Of labels that were swapped; the model and its scores stay as they were."""
    shutil.copytree(trained, tmp_path / "own")
    split = Split.open(tmp_path / "own/split")
    swapped = split.positions("validation")[:3]
    names = split.samples["label"].astype(str).to_numpy()
    truth = names[swapped].copy()
    names[swapped] = [CLASSES[(CLASSES.index(name) + 1) % 3] for name in truth]
    split.samples["label"] = split.samples["label"].cat.set_categories(CLASSES)
    split.samples.loc[swapped, "label"] = names[swapped]
    split.write(tmp_path / "own/split")
    (tmp_path / "own/split/digests.json").unlink()
    queue = proposed(tmp_path / "own", tmp_path, by="label_errors")
    found = {item.source: item for item in queue.items.values()}
    ids = split.samples["id"].iloc[swapped].tolist()
    assert set(ids) <= set(found)
    assert [found[one].proposed for one in ids] == names[swapped].tolist()
    confidences = [item.confidence for item in queue.items.values()]
    assert confidences == sorted(confidences)
    assert max(confidences) < 0.5
    assert queue.info.counts.looked_at == len(split.positions("validation"))


def test_exemplars_are_training_images_of_their_class(trained: Path, tmp_path: Path) -> None:
    queue = proposed(trained, tmp_path, trained / "photos")
    packed, split = PackedDataset.open(trained / "dataset"), Split.open(trained / "split")
    rows = split.samples["row"].to_numpy()[split.positions("train")]
    images, labels = packed.images(rows).astype(float), packed.samples["label"].iloc[rows].to_numpy()
    for name, files in zip(CLASSES, queue.exemplars(), strict=True):
        assert len(files) == 6
        for file in files:
            pixels = np.asarray(Image.open(file).convert("RGB"), float)
            assert labels[np.abs(images - pixels).mean((1, 2, 3)).argmin()] == name


def test_without_the_data_there_are_no_exemplars(trained: Path, tmp_path: Path) -> None:
    settings = Settings()
    said = propose([trained / "photos"], trained / "index/softmax", tmp_path / "queue", settings)
    assert "without exemplars" in said
    assert Queue.open(tmp_path / "queue").exemplars() == [[], [], []]


def test_bytes_that_are_there_twice_are_asked_once_and_what_is_no_image_is_told(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = tmp_path / "pool"
    shutil.copytree(trained / "photos/circle", pool / "a")
    shutil.copytree(trained / "photos/circle", pool / "b")
    for number in range(13):
        (pool / f"no {number}.jpg").write_text("no image" * number)
    queue = proposed(trained, tmp_path, pool, confidence=0)
    count = len(list((trained / "photos/circle").iterdir()))
    about = queue.info.counts
    assert (about.looked_at, about.duplicates, about.unreadable, about.items) == (2 * count + 13, count, 13, count)
    said = capsys.readouterr().err
    assert said.count("\n") == 11
    assert "and 3 more files are no images" in said
    assert all(item.source.startswith(f"{pool}/a/") for item in queue.items.values())


def test_people_see_the_image_upright_and_bounded_and_nothing_that_the_file_says(trained: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "secret place"
    (tmp_path / "pool").mkdir()
    photo = picture(0, 5).resize((3000, 1500))
    photo.save(tmp_path / "pool/x.jpg", exif=exif, comment=b"secret comment", xmp=b"<secret/>", quality=80)
    assert (tmp_path / "pool/x.jpg").read_bytes().count(b"secret") >= 3
    queue = proposed(trained, tmp_path, tmp_path / "pool", confidence=0)
    (item,) = queue.items
    assert b"secret" not in queue.image(item).read_bytes()
    with Image.open(queue.image(item)) as shown:
        assert (shown.size, shown.format, shown.mode) == ((512, 1024), "JPEG", "RGB")


def test_the_queue_says_which_model_and_how(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "classes.yaml").write_text("circle: A filled disc.\n")
    queue = proposed(trained, tmp_path, trained / "photos", definitions=tmp_path / "classes.yaml", seed=5)
    assert [one.definition for one in queue.info.classes] == ["A filled disc.", None, None]
    lineage, origin = Lineage.read(queue.path), Lineage.read(trained / "index/softmax")
    assert queue.info.model.made_by == origin.made_by in lineage.steps
    assert lineage.made_by is not None
    assert lineage.steps[lineage.made_by].stage == "propose"
    assert str(tmp_path) not in (queue.path / "lineage.json").read_text() + (queue.path / "queue.json").read_text()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"task": "colour"}, "has no task 'colour'; it has ['label']"),
        ({"confidence": 1}, "nothing to propose: of 44 looked at"),
        ({"by": "prediction_set", "dataset": None}, "--by prediction_set needs the model's packed data set"),
        ({"split": None}, "exemplars need the model's packed data set"),
        ({"by": "label_errors"}, "give no pool with it"),
        ({"definitions": {"square": "Four corners."}}, "defines ['square']; the classes are ['circle'"),
        ({"definitions": {"circle": ""}}, "the definition of 'circle' must be a text of 1 to 2000 characters"),
        ({"definitions": {"circle": 3}}, "the definition of 'circle' must be a text"),
        ({"definitions": {"circle": "x" * 2001}}, "the definition of 'circle' must be a text"),
        ({"definitions": ["circle"]}, "holds no texts by class"),
    ],
)
def test_what_stands_against_it_is_one_sentence_and_nothing_is_written(
    trained: Path, tmp_path: Path, settings: dict[str, Any], says: str
) -> None:
    if isinstance(texts := settings.get("definitions"), dict | list):
        (tmp_path / "classes.yaml").write_text(json.dumps(texts))
        settings = {**settings, "definitions": tmp_path / "classes.yaml"}
    with pytest.raises(DataError) as told:
        proposed(trained, tmp_path, trained / "photos/circle", **settings)
    assert says in str(told.value)
    assert "\n" not in str(told.value)
    assert {file.name for file in tmp_path.iterdir()} <= {"classes.yaml"}


def test_places_that_do_not_do_are_refused(trained: Path, tmp_path: Path) -> None:
    index, pool = trained / "index/softmax", trained / "photos/circle"
    (tmp_path / "there").mkdir()
    for files, model, output, says in (
        ([pool], index, tmp_path / "there", "exists, and may hold decisions"),
        ([pool], tmp_path / "nowhere", tmp_path / "queue", "there is no index"),
        ([], index, tmp_path / "queue", "there is nothing to propose for"),
        ([pool / "nothing"], index, tmp_path / "queue", "there is nothing at"),
        ([pool], index, pool / "queue", "write the queue elsewhere"),
        ([pool], index, index / "queue", "write the queue elsewhere"),
    ):
        with pytest.raises(DataError, match=says):
            propose(files, model, output, Settings())
        assert not (tmp_path / "queue").exists()


def test_data_of_another_model_is_refused(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "split", tmp_path / "split")
    lineage = json.loads((tmp_path / "split/lineage.json").read_text())
    (tmp_path / "split/lineage.json").write_text(json.dumps({**lineage, "split": "0" * 12}))
    with pytest.raises(DataError, match="come from different splits"):
        proposed(trained, tmp_path, trained / "photos", split=tmp_path / "split")
