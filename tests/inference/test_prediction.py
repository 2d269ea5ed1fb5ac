"""`longtail predict` on files as people have them: answers as the pipeline's own, faults in a sentence each."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from picture_files import CLASSES, KINDS, picture, save
from PIL import Image

from longtail.data.dataset import PackedDataset
from longtail.errors import DataError
from longtail.inference import prediction
from longtail.inference.answerer import Answerer
from longtail.inference.prediction import predict
from longtail.network.snapshot import read_blueprint
from longtail.sources.quoting import printable


def predicted(capsys: pytest.CaptureFixture[str], trained: Path, *paths: Path) -> tuple[dict[str, Any], str]:
    """The JSON lines by file, and what else was said: on stderr, and in the end."""
    capsys.readouterr()
    said = ""
    try:
        predict(list(paths), trained / "index/softmax", as_json=True, out=None)
    except DataError as error:
        said = f"error: {error}\n"
    printed = capsys.readouterr()
    lines = [json.loads(line) for line in printed.out.splitlines()]
    assert len({line["file"] for line in lines}) == len(lines)
    return {line["file"]: line for line in lines}, printed.err + said


def test_a_hundred_files_are_answered_as_the_pipeline_answers_them(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, errors = predicted(capsys, trained, trained / "photos")
    assert errors == ""
    packed, answerer = PackedDataset.open(trained / "dataset"), Answerer.load(trained / "index/softmax")
    assert len(lines) == len(packed) >= 100
    answers = answerer.answer(packed.images(np.arange(len(packed))))["label"]
    files = [str(trained / "photos" / source) for source in packed.samples["source"]]
    own = pd.read_parquet(trained / "report/predictions-label.parquet").set_index("id")["softmax.head"]
    assert len(own) > 20
    for place, file in enumerate(files):
        found = lines[file]["tasks"]["label"]
        # The blocks in which images are answered are others: sums of float32 end a bit elsewhere.
        assert found["probability"] == pytest.approx(float(answers.probability[place]), abs=1e-5)
        assert found["class"] == CLASSES[answers.codes[place]]
        assert list(found["probabilities"]) == list(CLASSES)
        assert max(found["probabilities"], key=found["probabilities"].__getitem__) == found["class"]
        assert sum(found["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert found["nearest_cluster"]["number"] == answers.nearest.cluster[place]
        assert found["nearest_cluster"]["distance"] == pytest.approx(float(answers.nearest.distance[place]), abs=1e-3)
        identity = packed.samples["id"][place]
        assert identity not in own.index or own[identity] == found["class"]


@pytest.mark.parametrize("kind", KINDS)
def test_files_of_every_kind_in_folders_of_folders(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    folder = tmp_path / "2026" / "a trip [1]"
    folder.mkdir(parents=True)
    files = [save(picture(code, 7 + code), folder / name, kind) for code, name in enumerate(CLASSES)]
    no_text = os.fsdecode(os.fsencode(files[0]) + b"\xe9")  # a name that another system gave
    files[0] = files[0].rename(no_text)
    for name in (".DS_Store", "notes.txt", "labels.CSV", "readme.md"):  # `ingest` passes them over too
        (folder / name).write_text("hello")
    lines, errors = predicted(capsys, trained, tmp_path)
    assert (sorted(lines), errors) == (sorted(printable(str(file)) for file in files), "")
    assert all("tasks" in line for line in lines.values())


def test_what_is_unlike_the_training_gets_no_class_if_asked(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(picture(0, 7), tmp_path / "circle", "png")
    Image.new("RGB", (30, 30), (20, 20, 20)).save(tmp_path / "dark.png")
    found = {}
    for refuse in (False, True):
        capsys.readouterr()
        predict([tmp_path], trained / "index/softmax", as_json=True, out=None, refuse=refuse)
        lines = map(json.loads, capsys.readouterr().out.splitlines())
        found[refuse] = {Path(line["file"]).name: line["tasks"]["label"] for line in lines}
    assert found[True]["circle.png"] == found[False]["circle.png"]
    assert found[True]["circle.png"]["class"] == "circle"
    assert found[False]["dark.png"]["class"] in CLASSES
    assert found[True]["dark.png"] == {**found[False]["dark.png"], "class": ""}


def test_a_folder_of_notes_alone_has_no_image(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    lines, _ = predicted(capsys, trained, tmp_path)
    assert lines[str(tmp_path)]["fault"] == "a folder without images"


def write_bad_files(folder: Path) -> dict[str, str]:
    """Files that are no images, by name, and how what is said of each begins."""
    save(picture(0, 1), folder / "good", "jpeg")
    whole = (folder / "good.jpg").read_bytes()
    (folder / "empty.jpg").touch()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "text.png").write_text("hello")
    (folder / "phone.HEIC").write_bytes(b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(99))
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    Image.new("1", (10_100, 10_000)).save(folder / "poster.png")
    (folder / "nowhere.jpg").symlink_to(folder / "gone.jpg")
    os.mkfifo(folder / "pipe.jpg")
    return {
        "empty.jpg": "not an image: the file is empty",
        "truncated.jpg": "truncated image",
        "text.png": "not an image: its format is not recognised",
        "phone.HEIC": "format not read: HEIC, as phones write it, is not read: convert it to JPEG or PNG",
        "broken.png": "",
        "poster.png": "image too large: more than 100 megapixels; shrink it",
        "nowhere.jpg": "a link to nothing",
        "pipe.jpg": "a pipe, no regular file",
    }


def test_what_is_no_image_is_named_with_its_reason_after_which_all_others_are_answered(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = write_bad_files(tmp_path)
    lines, errors = predicted(capsys, trained, tmp_path, tmp_path / "missing.jpg")
    for name, reason in bad.items():
        line = lines[str(tmp_path / name)]
        assert line["fault"].startswith(reason), line
        assert f"{tmp_path / name}: {line['fault']}\n" in errors
    assert "tasks" in lines[str(tmp_path / "good.jpg")]
    assert lines[str(tmp_path / "missing.jpg")]["fault"] == "No such file or directory"
    assert errors.endswith(f"error: {len(bad) + 1} of {len(bad) + 2} files have no answer; each is named above\n")
    assert max(map(len, errors.splitlines())) < 700


def test_the_table_shows_names_as_they_are_and_the_file_holds_json(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = save(picture(2, 4), tmp_path / "[bold] photo", "png")
    out = tmp_path / "answers.jsonl"
    predict([file], trained / "index/softmax", as_json=False, out=out)
    table = capsys.readouterr().out
    (line,) = map(json.loads, out.read_text().splitlines())
    found = line["tasks"]["label"]
    assert str(file) in table
    for cell in (found["class"], f"{100 * found['probability']:.1f} %", "nearest cluster (distance)"):
        assert cell in table
    assert sorted(path.name for path in tmp_path.iterdir()) == ["[bold] photo.png", "answers.jsonl"]


def test_a_file_of_answers_is_whole_or_absent(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = save(picture(2, 4), tmp_path / "photo", "png"), tmp_path / "answers.jsonl"
    with pytest.raises(DataError, match="1 of 2 files have no answer"):
        predict([file, tmp_path / "gone"], trained / "index/softmax", as_json=True, out=out)
    assert out.read_text() == capsys.readouterr().out
    before = out.read_text()
    monkeypatch.setattr(prediction, "BLOCK", 1)
    monkeypatch.setattr(Answerer, "answer", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        predict([file], trained / "index/softmax", as_json=False, out=out)
    assert out.read_text() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.jsonl", "photo.png"]


@pytest.mark.parametrize("content", [b"\x89PNG of somebody", b"file,class\n"])
def test_answers_replace_nothing_but_answers(trained: Path, tmp_path: Path, content: bytes) -> None:
    file, mine = save(picture(2, 4), tmp_path / "photo", "png"), tmp_path / "mine"
    mine.write_bytes(content)
    for out in (mine, file):
        before = out.read_bytes()
        with pytest.raises(DataError, match=f"{out} is there, and holds no JSON lines"):
            predict([file], trained / "index/softmax", as_json=False, out=out)
        assert out.read_bytes() == before
    (tmp_path / "empty").touch()
    predict([file], trained / "index/softmax", as_json=False, out=tmp_path / "empty")
    predict([file], trained / "index/softmax", as_json=False, out=tmp_path / "empty")


def test_an_index_that_has_changed_does_not_answer(trained: Path, tmp_path: Path) -> None:
    index = tmp_path / "index"
    shutil.copytree(trained / "index/softmax", index)
    rules = index / "rules.json"
    rules.write_text(rules.read_text().replace("temperature", "temperature "))
    with pytest.raises(DataError, match=r"rules\.json"):
        predict([save(picture(2, 4), tmp_path / "photo", "png")], index, as_json=False, out=None)


@pytest.mark.parametrize("name", ["head-*.json", "cluster_wise-*/about.json", "familiarity-*.json"])
def test_rules_that_hold_something_else_are_one_sentence(trained: Path, tmp_path: Path, name: str) -> None:
    index = tmp_path / "index"
    shutil.copytree(trained / "index/softmax", index)
    (index / "digests.json").unlink()
    found = list((index / "rules").glob(name))
    assert found
    for file in found:
        file.write_text("{}")
    with pytest.raises(DataError, match="index"):
        predict([save(picture(2, 4), tmp_path / "photo", "png")], index, as_json=False, out=None)


def test_answers_go_into_no_folder(trained: Path, tmp_path: Path) -> None:
    file = save(picture(2, 4), tmp_path / "photo", "png")
    (tmp_path / "answers").mkdir()
    with pytest.raises(DataError, match="answers is a folder; name a file"):
        predict([file], trained / "index/softmax", as_json=False, out=tmp_path / "answers")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers", "photo.png"]


def test_an_index_without_its_weights_is_one_sentence(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "index/softmax", tmp_path / "index")
    (tmp_path / "index/snapshot/network.safetensors").unlink()
    with pytest.raises(DataError, match=r"network\.safetensors is missing: copy all of the model"):
        Answerer.load(tmp_path / "index")


def test_an_index_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no index: give one that `longtail index` has made"):
        predict([tmp_path], tmp_path, as_json=True, out=None)


def test_a_model_that_takes_no_files_says_so_at_once(trained: Path, tmp_path: Path) -> None:
    index = tmp_path / "index"
    index.symlink_to(trained / "index/softmax")
    about = read_blueprint(trained / "index/softmax/snapshot").model_copy(update={"preprocessing": None})
    (tmp_path / "own/snapshot").mkdir(parents=True)
    for entry in (trained / "index/softmax").iterdir():
        if entry.name not in ("snapshot", "digests.json"):
            (tmp_path / "own" / entry.name).symlink_to(entry)
    for entry in (trained / "index/softmax/snapshot").iterdir():
        if entry.name != "network.json":
            (tmp_path / "own/snapshot" / entry.name).symlink_to(entry)
    (tmp_path / "own/snapshot/network.json").write_text(about.model_dump_json())
    with pytest.raises(DataError, match="the model takes no image files"):
        predict([tmp_path / "any.jpg"], tmp_path / "own", as_json=True, out=None)


@pytest.mark.slow
def test_the_command_ends_with_1_and_one_sentence(trained: Path, tmp_path: Path) -> None:
    write_bad_files(tmp_path)
    command = [sys.executable, "-m", "longtail", "predict", tmp_path, "--index", trained / "index/softmax"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.endswith("error: 8 of 9 files have no answer; each is named above\n")
    assert "Traceback" not in done.stderr
    assert "good.jpg" in done.stdout
