"""`longtail add`: a class of a few images is found by a trained model, the others stay, and nothing is half-written."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from mlflow_server import make_database
from picture_files import CLASSES, KINDS, picture, save
from PIL import Image
from safetensors.torch import load_file
from tiny import PARAMETERS, hashes, run_pipeline, run_stage, write_tiny_dataset

from longtail import tracking
from longtail.artifacts.digests import check_artifact
from longtail.artifacts.lineage import Lineage
from longtail.data.dataset import PackedDataset
from longtail.errors import DataError
from longtail.inference.addition import add
from longtail.inference.answerer import Answerer
from longtail.inference.columns import REFUSED
from longtail.inference.export import export
from longtail.inference.pixels import from_array
from longtail.inference.prediction import predict
from longtail.inference.registration import register
from longtail.network.snapshot import State
from longtail.rules.familiarity import Familiarity
from longtail.stages import evaluate

NEW = ("half", "ring")
Pixels = npt.NDArray[np.uint8]


def novel(name: str, number: int) -> Image.Image:
    """A drawing of a class that the model was not trained on, of a size and colours of its own."""
    rng = np.random.default_rng([9, NEW.index(name), number])
    height, width = rng.integers(20, 90, 2)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    drawn = x + y > rng.uniform(-0.2, 0.2) if name == "half" else np.abs(np.hypot(x, y) - 0.75) < 0.2
    ground, ink = rng.integers(0, 100, 3), rng.integers(150, 255, 3)
    noise = rng.normal(0, 8, (height, width, 3))
    return Image.fromarray((np.where(drawn[..., None], ink, ground) + noise).clip(0, 255).astype(np.uint8))


def write_new(folder: Path, *names: str, count: int = 5) -> Path:
    """Class folders of a few files of every kind."""
    for name in names:
        (folder / name / "more").mkdir(parents=True)
        for number in range(count):
            save(novel(name, number), folder / name / ("more" if number % 2 else "") / f"{number}", KINDS[number])
    return folder


def held_out(answerer: Answerer, name: str, count: int = 60) -> Pixels:
    blueprint = answerer.embedder.blueprint
    return np.stack([from_array(np.asarray(novel(name, 100 + one)), blueprint) for one in range(count)])


@pytest.fixture(scope="module")
def extended(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The index of the trained model with two classes more, of five images each."""
    folder, before = tmp_path_factory.mktemp("extended"), hashes(trained / "index/softmax")
    said = add(write_new(folder / "new", *NEW), trained / "index/softmax", folder / "index")
    assert said == (
        f"{folder / 'index'}: label has 5 classes, new are half (5), ring (5); it answers by cluster-wise kNN; of what "
        "was added it answers otherwise: half (1 of 5 images)"
    )
    assert hashes(trained / "index/softmax") == before
    assert sorted(path.name for path in folder.iterdir()) == ["index", "new"]
    return folder / "index"


def test_new_classes_are_found_and_the_others_as_before(trained: Path, extended: Path) -> None:
    old, new = Answerer.load(trained / "index/softmax"), Answerer.load(extended)
    assert new.tasks["label"].task.classes == [*CLASSES, *NEW]
    for code, name in enumerate(NEW, start=len(CLASSES)):
        images = held_out(new, name)
        found = new.answer(images)["label"]
        assert (found.codes == code).mean() > 0.8  # by chance 0.2
        assert found.unlike.mean() < 0.2
        assert old.answer(images)["label"].unlike.mean() > 0.8
        assert found.probabilities.shape == (60, 5)
    packed = PackedDataset.open(trained / "dataset")
    images = packed.images(np.arange(len(packed)))
    truth, before, now = packed.labels("label"), old.answer(images)["label"], new.answer(images)["label"]
    assert (now.codes == truth).mean() > (before.codes == truth).mean() - 0.05
    near = now.nearest.classes >= len(CLASSES)
    np.testing.assert_array_equal(now.nearest.cluster[~near], before.nearest.cluster[~near])


@pytest.mark.parametrize("archive", ["zip", "tar", "gztar", "xztar"])
def test_new_classes_may_lie_in_an_archive(trained: Path, extended: Path, tmp_path: Path, archive: str) -> None:
    packed = shutil.make_archive(str(tmp_path / "new"), archive, write_new(tmp_path / "folder", *NEW))
    add(Path(packed), trained / "index/softmax", tmp_path / "index")
    for name in ("rules.json", "snapshot/network.json"):
        assert (tmp_path / "index" / name).read_bytes() == (extended / name).read_bytes()


def test_answers_change_only_where_a_new_cluster_is_among_the_neighbours(trained: Path, extended: Path) -> None:
    by_neighbours = Answerer.load(trained / "index/softmax").tasks["label"].clusters
    answerer = Answerer.load(extended)
    new = answerer.tasks["label"].clusters
    noise = np.random.default_rng(0).integers(0, 256, (200, *answerer.embedder.image_shape), dtype=np.uint8)
    packed = PackedDataset.open(trained / "dataset").images(np.arange(132))
    embeddings = answerer.embedder(np.concatenate([noise, packed, held_out(answerer, "ring")]))["label"]
    codes, now = by_neighbours.predict(embeddings, None)[0], new.predict(embeddings, None)[0]
    squares = ((embeddings[:, None].astype(np.float64) - new.neighbours.points) ** 2).sum(-1)
    first = np.argsort(squares, axis=1, kind="stable")[:, : new.neighbours.k]
    near = (new.neighbours.classes[first] >= len(CLASSES)).any(1)
    assert 0 < near.sum() < len(near)
    np.testing.assert_array_equal(now[~near], codes[~near])


def test_the_new_index_says_what_was_added_and_is_whole(trained: Path, extended: Path, tmp_path: Path) -> None:
    check_artifact(extended)
    lineage, old = Lineage.read(extended), Lineage.read(trained / "index/softmax")
    assert lineage.made_by is not None
    step = lineage.steps[lineage.made_by]
    assert (step.stage, step.inputs, lineage.dataset) == ("add", {"index": old.made_by}, old.dataset)
    assert step.params["task"] == "label"
    assert {name: one["images"] for name, one in step.params["classes"].items()} == {"half": 5, "ring": 5}
    # The same files under other names are the same class; of another file more it is another.
    renamed = write_new(tmp_path / "new", *NEW)
    (renamed / "ring/0.png").rename(renamed / "ring/zero.png")
    save(novel("half", 6), renamed / "half/6", "png")
    add(renamed, trained / "index/softmax", tmp_path / "again")
    again = Lineage.read(tmp_path / "again").parameters()["add"]["classes"]
    assert again["ring"] == step.params["classes"]["ring"]
    assert again["half"]["sha256"] != step.params["classes"]["half"]["sha256"]


def test_the_same_images_make_the_same_bytes(trained: Path, extended: Path, tmp_path: Path) -> None:
    add(write_new(tmp_path / "new", *NEW), trained / "index/softmax", tmp_path / "index")
    assert hashes(tmp_path / "index") == hashes(extended)


def test_classes_are_added_to_an_index_with_added_classes(trained: Path, tmp_path: Path, extended: Path) -> None:
    index = trained / "index/softmax"
    for name in NEW:
        add(write_new(tmp_path / f"new {name}", name), index, tmp_path / name)
        index = tmp_path / name
    one, both = Answerer.load(index), Answerer.load(extended)
    images = np.concatenate([held_out(both, name) for name in NEW])
    np.testing.assert_array_equal(one.answer(images)["label"].codes, both.answer(images)["label"].codes)
    np.testing.assert_array_equal(one.answer(images)["label"].unlike, both.answer(images)["label"].unlike)


def test_it_answers_by_the_models_own_rule_if_the_class_can_win_by_it(trained: Path, tmp_path: Path) -> None:
    """Votes of nine neighbours are never won by two images."""
    index = tmp_path / "index"
    shutil.copytree(trained / "index/softmax", index, ignore=shutil.ignore_patterns("digests.json"))
    about = index / "rules/sample_wise-label/about.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), "k": 9}))
    State.read(index).model_copy(update={"rule": "sample_wise"}).write(index)
    add(write_new(tmp_path / "five", "ring"), index, tmp_path / "by votes")
    add(write_new(tmp_path / "two", "ring", count=2), index, tmp_path / "by another")
    assert State.read(tmp_path / "by votes").rule == "sample_wise"
    assert State.read(tmp_path / "by another").rule in ("cluster_wise", "large_margin", "class_mean", "soft_voting")
    rules = json.loads((index / "rules.json").read_text())
    for key in ("class_mean", "large_margin", "soft_voting"):
        shutil.rmtree(index / f"rules/{key}-label")
        del rules["label"][key]
    (index / "rules.json").write_text(json.dumps(rules))
    clusters = index / "rules/cluster_wise-label/about.json"
    clusters.write_text(json.dumps({**json.loads(clusters.read_text()), "k": 9, "decision": "vote"}))
    with pytest.raises(DataError, match=r"^no rule of the index can answer with a class of so few images"):
        add(tmp_path / "two", index, tmp_path / "none")


def test_files_are_answered_with_the_new_classes(
    extended: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = save(novel("ring", 7), tmp_path / "ring", "jpeg")
    predict([file], extended, as_json=True, out=None)
    (line,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert line["tasks"]["label"]["class"] == "ring"
    assert list(line["tasks"]["label"]["probabilities"]) == [*CLASSES, *NEW]


def test_an_archive_of_class_folders_does_as_well(trained: Path, extended: Path, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "new"), "zip", write_new(tmp_path / "new", *NEW))
    add(Path(archive), trained / "index/softmax", tmp_path / "index")
    assert hashes(tmp_path / "index") == hashes(extended)


@pytest.mark.slow
def test_the_onnx_file_knows_the_new_classes(extended: Path, tmp_path: Path) -> None:
    import onnxruntime

    export(extended, tmp_path / "model.onnx")
    answerer, session = Answerer.load(extended), onnxruntime.InferenceSession(tmp_path / "model.onnx")
    images = np.concatenate([held_out(answerer, name) for name in NEW])
    own = answerer.answer(images)["label"]
    codes, probabilities = session.run(["label.class", "label.probabilities"], {"images": images})
    np.testing.assert_array_equal(codes, own.codes)
    np.testing.assert_allclose(probabilities, own.probabilities, atol=1e-5)


@pytest.mark.slow
def test_the_served_model_knows_the_new_classes(
    trained: Path, extended: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    make_database(tmp_path / "mlflow.db")
    monkeypatch.setattr(sys, "path", [*sys.path])  # loading a model puts its sources first
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.delenv("LONGTAIL_TRACKING", raising=False)
    answerer = Answerer.load(extended)
    noise = np.random.default_rng(0).integers(0, 256, (20, *answerer.embedder.image_shape), dtype=np.uint8)
    images = np.concatenate([held_out(answerer, "ring", 20), noise])
    assert register(extended).startswith(f"{extended} is the newest version of longtail-photos; ")
    model, own = mlflow.pyfunc.load_model("models:/longtail-photos@challenger"), answerer.answer(images)["label"]
    names = np.array([*CLASSES, *NEW])[own.codes]
    answers = model.predict(images)
    np.testing.assert_array_equal(answers["label"], names)
    np.testing.assert_allclose(answers["label.probabilities"], own.probabilities, atol=1e-5)
    refused = model.predict(images, params={"refuse": True})["label"]
    assert 0 < own.unlike.sum() < len(images)
    np.testing.assert_array_equal(refused, np.where(own.unlike, REFUSED, names))
    assert tracking.promote(insist=True).startswith("version 1 of longtail-photos is the champion, although no paired")


def test_what_cannot_be_registered_is_one_sentence(
    extended: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LONGTAIL_TRACKING", "off")
    with pytest.raises(DataError, match="tracking is off"):
        register(extended)
    monkeypatch.delenv("LONGTAIL_TRACKING")
    with pytest.raises(DataError, match="is not a snapshot of a network"):
        register(tmp_path)
    assert not list(tmp_path.iterdir())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    with pytest.raises(DataError, match="is not registered as longtail-photos yet, for MLflow has not taken it"):
        register(extended)
    monkeypatch.setenv("LONGTAIL_TRACKING", "later")
    assert register(extended).endswith("waits to be registered as longtail-photos; `longtail sync` does so")


@pytest.mark.parametrize(
    "network",
    [
        {"embedding": 8, "task_layers": [4]},
        {"embedding": 8, "pooling": {"kind": "kernel", "order": 2, "dimension": 32, "coefficients": "learned"}},
        {"embedding": 8, "hidden": [6], "dropout": 0.3, "relu": "classifier"},
    ],
    ids=["task layers", "kernel pooling", "hidden layers"],
)
def test_all_but_the_classifier_is_that_of_the_model(tmp_path: Path, network: dict[str, Any]) -> None:
    write_tiny_dataset(tmp_path / "dataset", jpeg_quality=95)
    run_pipeline(tmp_path, stages=("split", "start", "fit"), start={"network": network}, fit={"network": network})
    run_stage(tmp_path, "index", paths={"model": "softmax/model", "index": "index"})
    new = write_new(tmp_path / "new", "ring")
    for name in ("one", "other"):
        add(new, tmp_path / "index", tmp_path / name)
    before, *after = (load_file(tmp_path / name / "snapshot/network.safetensors") for name in ("index", "one", "other"))
    for weights in after:
        kept = {key: value for key, value in before.items() if not key.startswith("classifiers.")}
        assert kept.keys() == {key for key in weights if not key.startswith("classifiers.")}
        assert all(torch.equal(weights[key], value) for key, value in kept.items())
    images = PackedDataset.open(tmp_path / "dataset").images(np.arange(20))
    embedded = [Answerer.load(tmp_path / name).embedder(images)["digit"] for name in ("index", "one")]
    np.testing.assert_array_equal(*embedded)
    assert hashes(tmp_path / "one") == hashes(tmp_path / "other")


@pytest.mark.slow
def test_of_several_tasks_one_is_named_and_all_answer_without_the_classifier(tmp_path: Path) -> None:
    write_tiny_dataset(tmp_path / "dataset", two_tasks=True, jpeg_quality=95)
    run_pipeline(tmp_path, stages=("split", "start", "fit"))
    run_stage(tmp_path, "index", paths={"model": "softmax/model", "index": "index"}, **PARAMETERS["index"])
    new = write_new(tmp_path / "new", "ring")
    for task, says in ((None, r"tasks \['digit', 'kids'\]; say with --task"), ("label", "has no task 'label'; it has")):
        with pytest.raises(DataError, match=says):
            add(new, tmp_path / "index", tmp_path / "extended", task)
    add(new, tmp_path / "index", tmp_path / "extended", "kids")
    old, answerer = Answerer.load(tmp_path / "index"), Answerer.load(tmp_path / "extended")
    assert answerer.tasks["digit"].task == old.tasks["digit"].task
    assert answerer.tasks["kids"].task.classes == ["no", "yes", "unsure", "ring"]
    assert answerer.tasks["kids"].task.background == "unsure"
    images = PackedDataset.open(tmp_path / "dataset").images(np.arange(120))
    before, now = old.answer(images), answerer.answer(images)
    for key in ("nearest", "unlike"):
        np.testing.assert_array_equal(getattr(now["digit"], key), getattr(before["digit"], key))
    assert not Familiarity.load(tmp_path / "extended/rules", "digit").added


def _empty(folder: Path) -> None:
    (folder / "empty").mkdir()


def _outside(folder: Path) -> None:
    save(novel("ring", 1), folder / "photo", "png")


def _broken(folder: Path) -> None:
    for number in range(8):
        (folder / "ring" / f"{number:300d}"[-200:]).write_bytes(b"\x89PNG\r\n\x1a\n")


def _trained(folder: Path) -> None:
    (folder / "ring").rename(folder / "circle")


def _in_another_form(folder: Path) -> None:
    (folder / "ring").rename(folder / "Cross")


def _twice(folder: Path) -> None:
    shutil.copytree(folder / "ring", folder / "RING")


def _no_text(folder: Path) -> None:
    (folder / "ring").rename(os.fsdecode(os.fsencode(folder) + b"/caf\xe9"))


def _control(folder: Path) -> None:
    (folder / "ring").rename(folder / "a\x07b")


def _white(folder: Path) -> None:
    (folder / "ring").rename(folder / "\u2003")


def _long(folder: Path) -> None:
    (folder / "ring").rename(folder / ("ring" * 60))


def _none(folder: Path) -> None:
    shutil.rmtree(folder / "ring")


def _gone(folder: Path) -> None:
    shutil.rmtree(folder)


def _file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("hello", encoding="utf-8")


def _pipe(folder: Path) -> None:
    os.mkfifo(folder / "ring/pipe.png")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_empty, r"the class folders \['empty'\] have no image"),
        (_outside, r"1 files outside of class folders: \['photo.png'\]"),
        (_broken, r"8 files in .* are no images that can be read: .*, and 3 more; remove"),
        (_trained, r"the task 'label' has the classes \['circle'\]; only new ones can be added"),
        (_in_another_form, r"\['cross', 'Cross'\] differ only in case"),
        (_twice, r"\['RING', 'ring'\] differ only in case"),
        (_no_text, r"the names \['caf\\\\xe9'\] are no text"),
        (_control, "are no text"),
        (_white, "are no text"),
        (_long, "has 240 characters where 200 are the most"),
        (_none, "has no class folder; it needs one folder of images a class"),
        (_gone, "there is no folder .*new"),
        (_file, "is neither a directory nor a zip or tar archive"),
        (_pipe, "ring/pipe.png: a pipe, no regular file"),
    ],
)
def test_bad_folders_are_one_sentence(trained: Path, tmp_path: Path, change: Callable[[Path], None], says: str) -> None:
    change(write_new(tmp_path / "new", "ring"))
    with pytest.raises(DataError, match=says) as refused:
        add(tmp_path / "new", trained / "index/softmax", tmp_path / "index")
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 3000
    assert [path.name for path in tmp_path.iterdir() if path.name != "new"] == []


@pytest.mark.parametrize(
    ("index", "output", "says"),
    [
        ("gone", "out", "there is no index .*gone; `longtail index` makes one"),
        ("new", "out", "is not a snapshot of a network"),
        ("index", "new/out", "lies in .*new; write the new index elsewhere"),
        ("index", "index/out", "lies in .*index; write the new index elsewhere"),
        ("index", "index", "exists; name a directory that does not"),
        ("index", "file", "exists; name a directory that does not"),
        ("changed", "out", "rules.json has changed since the step that made"),
    ],
)
def test_bad_places_are_one_sentence(trained: Path, tmp_path: Path, index: str, output: str, says: str) -> None:
    write_new(tmp_path / "new", "ring", count=1)
    (tmp_path / "file").touch()
    for name in ("index", "changed"):
        shutil.copytree(trained / "index/softmax", tmp_path / name)
    (tmp_path / "changed/rules.json").write_text("{}")
    before = hashes(tmp_path)
    with pytest.raises(DataError, match=says):
        add(tmp_path / "new", tmp_path / index, tmp_path / output)
    assert hashes(tmp_path) == before
    assert not (tmp_path / "out").exists()


def test_a_fault_on_the_way_leaves_nothing(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_new(tmp_path / "new", "ring", count=1)
    monkeypatch.setattr(Familiarity, "save", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        add(tmp_path / "new", trained / "index/softmax", tmp_path / "index")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


@pytest.mark.slow
def test_the_command_says_what_it_did_or_what_is_wrong(trained: Path, tmp_path: Path) -> None:
    new = write_new(tmp_path / "new", "ring")

    def run(*words: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "longtail", "add", *map(str, words), "--index", trained / "index/softmax"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = run(new, "--output", tmp_path / "index")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("new are ring (5); it answers by cluster-wise kNN\n")
    refused = run(new, "--output", tmp_path / "index")
    assert refused.returncode == 1
    assert refused.stderr == f"error: {tmp_path / 'index'} exists; name a directory that does not\n"


def test_it_is_not_evaluated_on_a_split_without_the_classes(trained: Path, extended: Path, tmp_path: Path) -> None:
    (tmp_path / "index").mkdir()
    (tmp_path / "index/softmax").symlink_to(extended)
    with pytest.raises(DataError, match="has classes that were added without training, of which the split has no"):
        evaluate.run(
            dataset=trained / "dataset",
            split=trained / "split",
            indexes=tmp_path / "index",
            report=tmp_path / "report",
            params=evaluate.Params(models=["softmax"]),
        )
    assert not (tmp_path / "report").exists()


def test_pictures_of_trained_classes_are_as_sure_as_before(trained: Path, extended: Path) -> None:
    """A class that a query is not near takes no probability but its part of the even share."""
    answerer = Answerer.load(extended)
    images = np.stack(
        [from_array(np.asarray(picture(code, 90)), answerer.embedder.blueprint) for code in range(len(CLASSES))]
    )
    found = answerer.answer(images)["label"]
    assert found.codes.tolist() == [0, 1, 2]
    assert (found.probabilities[:, len(CLASSES) :].max(1) < found.probability).all()
