"""torchvision's data sets, from small local copies in their own format; nothing is fetched."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from longtail.errors import DataError
from longtail.sources.collection import Request
from longtail.sources.folder import Folder
from longtail.sources.limits import Limits
from longtail.sources.torchvision_dataset import TorchvisionDataset

pytest.importorskip("torchvision")
Load = Callable[..., Any]


@pytest.fixture
def mnist(root: Path) -> None:
    """MNIST with 20 training and 10 test images, each of one grey level."""
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name, count in (("train", 20), ("t10k", 10)):
        images = np.repeat(np.arange(count, dtype=np.uint8), 28 * 28).tobytes()
        (folder / f"{name}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 0x803, count, 28, 28) + images)
        labels = (np.arange(count, dtype=np.uint8) % 10).tobytes()
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, count) + labels)


@pytest.fixture
def eurosat(root: Path) -> Path:
    """EuroSAT, a data set of class folders without an official split."""
    for name in ("Forest", "River"):
        for i in range(3):
            path = root / "eurosat" / "2750" / name / f"{name}_{i}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.random.default_rng(i).integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    return root / "eurosat" / "2750"


def test_the_train_argument_gives_official_subsets(load: Load, mnist: None) -> None:
    loaded = load(TorchvisionDataset(kind="torchvision", name="MNIST"), (28, 28, 1))
    assert loaded.samples["subset"].tolist() == ["train"] * 20 + ["test"] * 10
    assert loaded.pixels[:, 0, 0, 0].tolist() == [*range(20), *range(10)]
    assert loaded.classes[3] == "3 - three"
    assert loaded.samples["label"].tolist()[3] == "3 - three"


def test_one_subset_can_be_asked_alone(load: Load, mnist: None) -> None:
    source = TorchvisionDataset(kind="torchvision", name="MNIST", splits={"test": "test"})
    assert len(load(source, (28, 28, 1)).samples) == 10


@pytest.mark.parametrize("splits", [{"validation": "val"}, {"train": "train", "validation": "val"}])
def test_a_subset_that_the_data_set_does_not_have_is_an_error(load: Load, mnist: None, splits: dict[str, str]) -> None:
    source = TorchvisionDataset.model_validate({"kind": "torchvision", "name": "MNIST", "splits": splits})
    with pytest.raises(DataError, match="MNIST has the subsets train and test alone"):
        load(source, (28, 28, 1))


def test_a_data_set_without_splits_is_read_whole(load: Load, eurosat: Path) -> None:
    loaded = load(TorchvisionDataset(kind="torchvision", name="EuroSAT"))
    assert loaded.classes == ["Forest", "River"]
    assert loaded.samples["subset"].isna().all()


def test_the_split_argument_is_given_as_named(
    load: Load, monkeypatch: pytest.MonkeyPatch, mnist: None, root: Path
) -> None:
    import torchvision.datasets

    class Splits(torchvision.datasets.MNIST):
        def __init__(self, root: str, split: str = "train") -> None:
            super().__init__(root, train=split == "training")
            self.root = root

        @property
        def raw_folder(self) -> str:
            return str(Path(self.root) / "MNIST" / "raw")

    monkeypatch.setattr(torchvision.datasets, "Country211", Splits)
    source = TorchvisionDataset(
        kind="torchvision", name="Country211", splits={"train": "training", "validation": "held"}
    )
    subsets = load(source, (28, 28, 1)).samples["subset"].tolist()
    assert subsets == ["train"] * 20 + ["validation"] * 10


def test_a_broken_image_is_reported(load: Load, eurosat: Path) -> None:
    (eurosat / "River" / "River_1.jpg").write_bytes(b"torn")
    loaded = load(TorchvisionDataset(kind="torchvision", name="EuroSAT"))
    assert "EuroSAT all-000004: not an image" in loaded.report
    assert "River_1.jpg" in loaded.report or len(loaded.samples) == 5


def test_a_class_of_the_data_set_without_an_image_is_reported(load: Load, mnist: None) -> None:
    source = TorchvisionDataset(kind="torchvision", name="MNIST", classes=[f"digit {i}" for i in range(11)])
    assert "MNIST: empty class (class 'digit 10'" in load(source, (28, 28, 1)).report


def test_a_label_without_a_declared_class_is_reported(load: Load, mnist: None) -> None:
    source = TorchvisionDataset(kind="torchvision", name="MNIST", classes=[f"digit {i}" for i in range(9)])
    assert "MNIST train-000009: label outside the declared classes (label 9" in load(source, (28, 28, 1)).report


def test_a_data_set_that_is_not_there_is_an_error(load: Load) -> None:
    with pytest.raises(DataError, match=r"torchvision\.datasets\.MNIST cannot be opened .*`download: true`"):
        load(TorchvisionDataset(kind="torchvision", name="MNIST"))


def test_an_unknown_name_is_an_error_with_the_nearest(load: Load) -> None:
    with pytest.raises(DataError, match="did you mean 'MNIST'"):
        load(TorchvisionDataset(kind="torchvision", name="MNITS"))


def test_an_unknown_argument_is_an_error(load: Load, mnist: None) -> None:
    with pytest.raises(DataError, match="colour"):
        load(TorchvisionDataset(kind="torchvision", name="MNIST", kwargs={"colour": True}))


def half(size: int = 16, mode: str = "RGB") -> Image.Image:
    """An image whose upper half is white and opaque, and whose lower half is black and transparent."""
    image = Image.new(mode, (size, size))
    image.paste("white", (0, 0, size, size // 2))
    return image


def turned(path: Path, orientation: int, size: int = 16) -> None:
    exif = Image.Exif()
    exif[0x112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    half(size).save(path, exif=exif)


def odd_images(folder: Path) -> None:
    """Photographs on their side and larger than asked for, transparency, grey of 16 bits, and files that are broken."""
    for name in "ab":
        for orientation in (1, 3, 6, 8):
            turned(folder / name / f"{orientation}.jpg", orientation)
        turned(folder / name / "large.jpg", 6, 500)
        turned(folder / name / "turned.png", 6)
        turned(folder / name / "turned.tif", 6)
        half(mode="RGBA").save(folder / name / "alpha.png")
        half(mode="LA").save(folder / name / "grey alpha.png")
        half().convert("P").save(folder / name / "palette.png", transparency=0)
        Image.fromarray(np.full((16, 16), 40000, np.uint16)).save(folder / name / "deep.png")
        (folder / name / "torn.png").write_bytes(b"torn")
        (folder / name / "empty.png").touch()


@pytest.mark.parametrize("fit", ["stretch", "pad"])
def test_pixels_are_those_of_the_same_files_in_folders(load: Load, root: Path, fit: Any) -> None:
    odd_images(root)
    folders = load(Folder(kind="folder", fit=fit), (8, 12, 3))
    loaded = load(TorchvisionDataset(kind="torchvision", name="ImageFolder", fit=fit), (8, 12, 3))
    assert loaded.samples["label"].tolist() == folders.samples["label"].tolist() == ["a"] * 11 + ["b"] * 11
    assert np.array_equal(loaded.pixels, folders.pixels)
    assert [line.partition(": ")[2] for line in loaded.problems.found] == [
        line.partition(": ")[2] for line in folders.problems.found
    ]


def test_a_data_set_that_decodes_its_images_itself_is_upright_too(load: Load, root: Path) -> None:
    for name in ("Abyssinian_1", "Beagle_2"):
        turned(root / "oxford-iiit-pet" / "images" / f"{name}.jpg", 6)
    (root / "oxford-iiit-pet" / "annotations").mkdir()
    (root / "oxford-iiit-pet" / "annotations" / "trainval.txt").write_text("Abyssinian_1 1 1 1\nBeagle_2 2 2 1\n")
    source = TorchvisionDataset(kind="torchvision", name="OxfordIIITPet", splits={"train": "trainval"})
    pixels = load(source, (16, 16, 1)).pixels
    assert (pixels[:, :, 12:] > 250).all()
    assert (pixels[:, :, :4] < 5).all()


def test_pixels_are_those_of_folders_where_a_data_set_opens_its_images_itself(load: Load, root: Path) -> None:
    for name in ("001.a", "002.b"):
        folder = root / "caltech256" / "256_ObjectCategories" / name
        turned(folder / f"{name[:3]}_0001.jpg", 6, 500)
        half(mode="RGBA").save(folder / f"{name[:3]}_0002.jpg", "PNG")
    folders = load(Folder(kind="folder", path="caltech256/256_ObjectCategories"))
    loaded = load(TorchvisionDataset(kind="torchvision", name="Caltech256"))
    assert np.array_equal(loaded.pixels, folders.pixels)


def test_a_file_beyond_the_limit_is_not_read(root: Path, tmp_path: Path, eurosat: Path) -> None:
    with (eurosat / "River" / "River_1.jpg").open("ab") as file:
        file.truncate(2 * 10**6)
    asked = Request((8, 8, 3), tmp_path, limits=Limits(file_megabytes=1))
    loaded = TorchvisionDataset(kind="torchvision", name="EuroSAT").load(root, asked)
    assert len(loaded.samples) == 5
    assert "unreadable file (2 MB where 1 are allowed" in "\n".join(asked.problems.found)
