"""CelebA's own files, on a small folder in their exact format: attributes, subsets, identities, aligned crops."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from longtail.data import jpeg
from longtail.data.dataset import PackedDataset
from longtail.errors import DataError
from longtail.sources.celeba import TEMPLATE, CelebA
from longtail.stages import ingest

Load = Callable[..., Any]
ATTRIBUTES = """4
Bald Smiling Wearing_Hat
000001.jpg -1  1 -1
000002.jpg -1 -1  1
000003.jpg  1 -1 -1
000004.jpg -1  1 -1
"""
PARTITION = "000001.jpg 0\n000002.jpg 0\n000003.jpg 1\n000004.jpg 2\n"
IDENTITIES = "000001.jpg 2880\n000002.jpg 2880\n000003.jpg 17\n000004.jpg 5\n"
SHAPE = (55, 47, 3)


def face(angle: float, scale: float, centre: tuple[float, float]) -> tuple[Image.Image, np.ndarray]:
    """A white image with a dark dot at each of five landmarks: the template, turned, scaled and shifted."""
    turn = scale * np.exp(1j * np.deg2rad(angle))
    points = turn * ((TEMPLATE - 0.5) * [47, 55] @ [1, 1j]) + complex(*centre)
    image = Image.new("RGB", (178, 218), "white")
    for point in points:
        ImageDraw.Draw(image).ellipse([point.real - 4, point.imag - 4, point.real + 4, point.imag + 4], fill=(0, 0, 0))
    return image, np.stack([points.real, points.imag], axis=1)


@pytest.fixture(autouse=True)
def celeba(root: Path) -> None:
    (root / "list_attr_celeba.txt").write_text(ATTRIBUTES)
    (root / "list_eval_partition.txt").write_text(PARTITION)
    (root / "identity_CelebA.txt").write_text(IDENTITIES)
    (root / "img_align_celeba").mkdir()
    lines = [
        "4",
        "lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y rightmouth_x rightmouth_y",
    ]
    poses = [
        (0.0, 2.0, (89.0, 109.0)),
        (20.0, 1.5, (80.0, 120.0)),
        (-15.0, 2.5, (95.0, 100.0)),
        (5.0, 1.0, (60.0, 60.0)),
    ]
    for number, pose in enumerate(poses, 1):
        image, points = face(*pose)
        image.save(root / f"img_align_celeba/00000{number}.jpg", quality=95)
        lines.append(f"00000{number}.jpg " + " ".join(str(round(value)) for value in points.ravel()))
    (root / "list_landmarks_align_celeba.txt").write_text("\n".join(lines) + "\n")


def test_every_attribute_is_a_task_with_the_official_subsets_and_identities_as_groups(load: Load) -> None:
    loaded = load(CelebA(kind="celeba"), SHAPE)
    assert [task.name for task in loaded.collection.tasks] == ["Bald", "Smiling", "Wearing_Hat"]
    assert all(task.classes == ["no", "yes"] for task in loaded.collection.tasks)
    samples = loaded.samples
    assert samples["Bald"].tolist() == ["no", "no", "yes", "no"]
    assert samples["Smiling"].tolist() == ["yes", "no", "no", "yes"]
    assert samples["subset"].tolist() == ["train", "train", "validation", "test"]
    assert samples["group"].tolist() == ["identity 2880", "identity 2880", "identity 17", "identity 5"]
    assert loaded.problems.found == []


def test_some_attributes_alone(load: Load) -> None:
    loaded = load(CelebA(kind="celeba", tasks=["Smiling"]), SHAPE)
    assert [task.name for task in loaded.collection.tasks] == ["Smiling"]
    assert "Bald" not in loaded.samples


def test_landmarks_bring_every_face_to_the_same_place(load: Load) -> None:
    pixels = load(CelebA(kind="celeba", landmarks="list_landmarks_align_celeba.txt"), SHAPE).pixels
    assert pixels.shape == (4, *SHAPE)
    for image in pixels:
        dark = image.mean(axis=2) < 128
        for x, y in TEMPLATE * [47, 55]:
            assert dark[int(y), int(x)], "a landmark lies elsewhere"
        assert dark.mean() < 0.2
    # Without them the faces stay as they are.
    assert not (load(CelebA(kind="celeba"), SHAPE).pixels[3].mean(axis=2) < 128)[20, 14]


def test_faces_aligned_by_landmarks_are_kept_as_jpegs_too(root: Path, tmp_path: Path) -> None:
    source = {"kind": "celeba", "landmarks": "list_landmarks_align_celeba.txt", "tasks": ["Smiling"]}
    for storage in ("raw", "jpeg"):
        ingest.run(root, tmp_path / storage, params=ingest.Params(source=source, image_shape=SHAPE, storage=storage))
    raw, packed = PackedDataset.open(tmp_path / "raw"), PackedDataset.open(tmp_path / "jpeg")
    assert raw.info.preprocessing is packed.info.preprocessing is raw.info.jpeg_quality is None
    assert packed.info.jpeg_quality == 95
    passed = [jpeg.decode(jpeg.encode(face, 95), SHAPE) for face in raw.images(np.arange(4))]
    assert (packed.images(np.arange(4)) == np.stack(passed)).all()


def test_images_in_a_zip(load: Load, root: Path) -> None:
    folder = root / "img_align_celeba"
    with zipfile.ZipFile(root / "img_align_celeba.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, f"img_align_celeba/{file.name}")
    whole = load(CelebA(kind="celeba"), SHAPE).pixels
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    assert np.array_equal(load(CelebA(kind="celeba", images="img_align_celeba.zip"), SHAPE).pixels, whole)


def test_where_all_faces_are_alike_there_is_no_task(root: Path, tmp_path: Path) -> None:
    alike = "4\nBald Smiling\n" + "".join(f"00000{i}.jpg -1 1\n" for i in range(1, 5))
    (root / "list_attr_celeba.txt").write_text(alike)
    params = ingest.Params.model_validate({"source": {"kind": "celeba"}, "image_shape": SHAPE, "on_error": "skip"})
    with pytest.raises(DataError, match="no task is left"):
        ingest.run(root, tmp_path / "dataset", params=params)
    assert not (tmp_path / "dataset").exists()


def test_a_bad_row_is_named_with_its_line(load: Load, root: Path) -> None:
    (root / "list_attr_celeba.txt").write_text(ATTRIBUTES.replace("000003.jpg  1", "000003.jpg  0"))
    (root / "img_align_celeba/000004.jpg").unlink()
    report = load(CelebA(kind="celeba"), SHAPE).report
    assert "list_attr_celeba.txt, line 5" in report
    assert "['0'] is neither -1 nor 1" in report
    assert "list_attr_celeba.txt, line 6" in report
    assert "Bald = yes" in report  # the one bald image is gone


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("list_attr_celeba.txt", ATTRIBUTES.replace("4", "5", 1), "its first line says '5' images, and 4 follow"),
        ("list_attr_celeba.txt", ATTRIBUTES + "000005.jpg 1\n", "line 7: 2 cells where 4 belong"),
        ("list_attr_celeba.txt", "0\nBald\n", "lists no image"),
        ("list_eval_partition.txt", PARTITION.replace("000004.jpg 2\n", ""), "no line for 000004.jpg"),
        ("list_eval_partition.txt", PARTITION.replace(" 1\n", " 7\n"), "'7' is no subset"),
        ("identity_CelebA.txt", IDENTITIES + "000002.jpg 9\n", "has two lines for 000002.jpg"),
    ],
)
def test_a_list_of_another_format_is_refused(load: Load, root: Path, file: str, text: str, message: str) -> None:
    (root / file).write_text(text)
    with pytest.raises(DataError, match=message):
        load(CelebA(kind="celeba"), SHAPE)


def test_an_unknown_attribute_and_a_missing_list(load: Load, root: Path) -> None:
    with pytest.raises(DataError, match="has no attribute \\['Glasses'\\]"):
        load(CelebA(kind="celeba", tasks=["Glasses"]), SHAPE)
    (root / "identity_CelebA.txt").unlink()
    with pytest.raises(DataError, match="no identity_CelebA"):
        load(CelebA(kind="celeba", identities="identity_CelebA.txt"), SHAPE)


def as_csv(text: str, header: str) -> str:
    lines = [line.split() for line in text.splitlines()]
    if len(lines[0]) == 1:
        lines = lines[2:]
    return "\n".join([header, *(",".join(line) for line in lines)]) + "\n"


def kaggle(root: Path) -> None:
    """CSVs with a header, no identities, and the images in a folder in a folder."""
    for name, header in (
        ("list_attr_celeba", "image_id,Bald,Smiling,Wearing_Hat"),
        ("list_eval_partition", "image_id,partition"),
        ("list_landmarks_align_celeba", "image_id," + ",".join("abcdefghij")),
    ):
        path = root / f"{name}.txt"
        (root / f"{name}.csv").write_text(as_csv(path.read_text(), header))
        path.unlink()
    (root / "identity_CelebA.txt").unlink()
    (root / "img_align_celeba").rename(root / "images")
    (root / "img_align_celeba").mkdir()
    (root / "images").rename(root / "img_align_celeba" / "img_align_celeba")


def without_count(root: Path) -> None:
    (root / "list_attr_celeba.txt").write_text(ATTRIBUTES.partition("\n")[2])


def another_folder(root: Path) -> None:
    (root / "img_align_celeba").rename(root / "celeba_jpgs")


def wrapped(root: Path) -> None:
    (root / "celeba").mkdir()
    for path in list(root.iterdir()):
        if path.name != "celeba":
            path.rename(root / "celeba" / path.name)


def zipped(root: Path) -> None:
    with zipfile.ZipFile(root / "img_align_celeba.zip", "w") as archive:
        for file in sorted((root / "img_align_celeba").iterdir()):
            archive.write(file, f"img_align_celeba/{file.name}")
            file.unlink()
    (root / "img_align_celeba").rmdir()


@pytest.mark.parametrize("change", [kaggle, without_count, another_folder, wrapped, zipped])
def test_celeba_is_read_in_the_forms_in_which_it_is_passed_on(
    load: Load, root: Path, change: Callable[[Path], None]
) -> None:
    options = {"kind": "celeba", "landmarks": "list_landmarks_align_celeba.txt"}
    whole = load(CelebA(**options), SHAPE)
    change(root)
    loaded = load(CelebA(**options), SHAPE)
    assert loaded.problems.found == []
    assert (loaded.pixels == whole.pixels).all()
    columns = ["id", "subset", "Bald", "Smiling", "Wearing_Hat"]
    assert loaded.samples[columns].equals(whole.samples[columns])


@pytest.mark.parametrize("character", ["\x0b", "\x1d", "\x85", "\u2028", "\u2029"])
def test_the_name_of_an_image_in_a_csv_may_have_what_python_takes_for_the_end_of_a_line(
    load: Load, root: Path, character: str
) -> None:
    kaggle(root)
    name = f"000003{character}.jpg"
    for file in root.glob("*.csv"):
        file.write_text(file.read_text(encoding="utf-8").replace("000003.jpg", name), encoding="utf-8")
    images = root / "img_align_celeba" / "img_align_celeba"
    (images / "000003.jpg").rename(images / name)
    loaded = load(CelebA(kind="celeba"), SHAPE)
    assert loaded.problems.found == []
    assert loaded.samples["Bald"].tolist() == ["no", "no", "yes", "no"]


def test_a_list_that_is_missing_is_said_and_done_without(
    load: Load, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (root / "list_eval_partition.txt").unlink()
    (root / "identity_CelebA.txt").unlink()
    loaded = load(CelebA(kind="celeba"), SHAPE)
    assert loaded.samples["subset"].isna().all()
    assert loaded.samples["group"].tolist() == loaded.samples["id"].tolist()
    assert "no list_eval_partition.txt in" in caplog.text
    assert "every image is a group of its own" in caplog.text
    with pytest.raises(DataError, match=r"no list_eval_partition\.txt in .*; `partition: null` does without"):
        load(CelebA(kind="celeba", partition="list_eval_partition.txt"), SHAPE)


def test_a_folder_of_images_that_is_named_must_be_there(load: Load, root: Path) -> None:
    another_folder(root)
    with pytest.raises(DataError, match=r"no such file or directory: .*img_align_celeba"):
        load(CelebA(kind="celeba", images="img_align_celeba"), SHAPE)
