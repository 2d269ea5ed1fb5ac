"""Parquet files with the images in their cells, as Hugging Face's `datasets` writes them."""

import contextlib
import io
import json
import os
import zipfile
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from longtail.errors import DataError
from longtail.sources.parquet import ImageCells, RowGroups, Shard
from longtail.sources.table import LabelColumn, LabelTable

Load = Callable[..., Any]
NAMES = ["cat", "dog", "10", "9"]


def png(colour: int) -> bytes:
    data = io.BytesIO()
    Image.fromarray(np.full((6, 6), colour, np.uint8)).save(data, "PNG")
    return data.getvalue()


def large(seed: int) -> bytes:
    """An image of 12 kB."""
    data = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(256, size=(64, 64, 3), dtype=np.uint8)).save(data, "PNG")
    return data.getvalue()


def write_shard(path: Path, images: list[bytes | None], labels: list[Any], **changes: Any) -> None:
    options = {"struct": True, "names": NAMES, "rows": 2, "kind": pa.int64(), "more": {}, **changes}
    cells = [{"bytes": one, "path": f"{i}.png"} for i, one in enumerate(images)]
    struct = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    column: Any = pa.array(cells, struct) if options["struct"] else images
    table = pa.table({"image": column, "label": pa.array(labels, options["kind"])} | options["more"])
    features = {"image": {"_type": "Image"}, "label": {"names": options["names"], "_type": "ClassLabel"}}
    if options["names"]:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=options["rows"])


def source(table: str = "data/*.parquet", **changes: Any) -> LabelTable:
    return LabelTable(kind="table", table=table, labels=[LabelColumn(column="label")], **changes)


@pytest.fixture
def shards(root: Path) -> None:
    write_shard(root / "data/train-00000-of-00002.parquet", [png(i) for i in range(5)], [0, 1, 2, 3, 0])
    write_shard(root / "data/train-00001-of-00002.parquet", [png(i) for i in range(5, 8)], [1, 2, 3])
    write_shard(root / "data/test-00000-of-00001.parquet", [png(i) for i in range(8, 12)], [0, 1, 2, -1])


@pytest.mark.parametrize("workers", [1, 3])
def test_shards_are_read_with_their_class_names_and_subsets(load: Load, shards: None, workers: int) -> None:
    loaded = load(source(), (6, 6, 1), workers=workers)
    assert loaded.problems.found == []
    assert loaded.classes == NAMES
    assert loaded.pixels[:, 0, 0, 0].tolist() == [8, 9, 10, 11, *range(8)]
    assert loaded.samples["label"].tolist()[:5] == ["cat", "dog", "10", None, "cat"]
    assert loaded.samples["subset"].tolist() == ["test"] * 4 + ["train"] * 8
    assert loaded.samples["id"].tolist()[4] == "data/train-00000-of-00002.parquet, row 1"
    assert loaded.samples["id"].is_unique


def test_shards_in_a_zip(load: Load, root: Path, shards: None) -> None:
    whole = load(source())
    with zipfile.ZipFile(root / "all.zip", "w") as archive:
        for path in (root / "data").iterdir():
            archive.write(path, path.relative_to(root))
    packed = load(source(path="all.zip"))
    assert packed.samples.equals(whole.samples)
    assert (packed.pixels == whole.pixels).all()


@pytest.mark.parametrize("struct", [True, False], ids=["bytes and path", "bytes"])
def test_one_file_without_declared_names(load: Load, root: Path, struct: bool) -> None:
    write_shard(root / "one.parquet", [png(7), png(8), png(9)], [10, 2, None], struct=struct, names=None)
    loaded = load(source("one.parquet"), (6, 6, 1))
    assert loaded.classes == ["2", "10"]
    assert loaded.samples["subset"].isna().all()
    assert loaded.pixels[:, 0, 0, 0].tolist() == [7, 8, 9]


def test_bad_cells_are_reported_with_their_row_and_in_few_characters(load: Load, root: Path) -> None:
    images = [png(0), None, b"x" * 200_000, png(0)[:45], png(0), png(0)]
    write_shard(root / "one.parquet", images, [0, 0, 0, 0, 1, 7], names=["cat", "dog"])
    loaded = load(source("one.parquet"))
    assert len(loaded.samples) == 2
    for words in (
        "row 2: not an image (the file is empty)",
        "row 3: not an image",
        "row 6: label outside the declared",
    ):
        assert f"one.parquet, {words}" in loaded.report
    assert len(loaded.report) < 1000


@pytest.mark.parametrize(
    ("kind", "codes"),
    [
        (pa.float64(), [0.0, 1.0, None]),  # as pandas writes integers with a gap
        (pa.float32(), [0.0, 1.0, None]),
        (pa.decimal128(4, 1), [Decimal(0), Decimal(1), None]),
        (pa.int8(), [0, 1, None]),
        (pa.string(), ["cat", "dog", None]),
    ],
)
def test_declared_classes_are_found_whatever_the_type_of_their_codes(
    load: Load, root: Path, kind: Any, codes: list[Any]
) -> None:
    write_shard(root / "one.parquet", [png(i) for i in range(3)], codes, kind=kind, names=["cat", "dog"])
    loaded = load(source("one.parquet"))
    assert loaded.samples["label"].tolist() == ["cat", "dog", None]
    assert loaded.problems.found == []


def test_what_is_no_code_is_outside_the_declared_classes(load: Load, root: Path) -> None:
    write_shard(
        root / "one.parquet", [png(i) for i in range(4)], [0.0, 1.0, 0.5, 2.0], kind=pa.float64(), names=["a", "b"]
    )
    loaded = load(source("one.parquet"))
    assert loaded.samples["label"].tolist() == ["a", "b"]
    assert len(loaded.problems.found) == 2


def test_a_group_is_the_same_in_shards_of_other_types(load: Load, root: Path) -> None:
    groups = pa.array([0, 0, 1, 2]), pa.array([0.0, None, 1.0, 2.0])
    for number, column in enumerate(groups):
        write_shard(root / f"data/{number}.parquet", [png(i) for i in range(4)], [0, 1, 2, 3], more={"person": column})
    found = load(source(group="person")).samples["group"].tolist()
    assert found == ["0", "0", "1", "2", "0", "ungrouped data/1.parquet, row 2", "1", "2"]


@pytest.mark.parametrize("labels", [[], [4, 4]], ids=["no row", "all dropped"])
def test_a_shard_of_which_nothing_is_left_leaves_the_others(load: Load, root: Path, labels: list[int]) -> None:
    names = [*NAMES, "unknown"]
    write_shard(root / "data/0.parquet", [png(0)] * len(labels), labels, names=names)
    write_shard(root / "data/1.parquet", [png(i) for i in range(4)], [0, 1, 2, 3], names=names)
    column = LabelColumn(column="label", drop=["unknown"])
    loaded = load(LabelTable(kind="table", table="data/*.parquet", labels=[column]))
    assert loaded.samples["label"].tolist() == NAMES
    (root / "data/1.parquet").unlink()
    assert load(LabelTable(kind="table", table="data/*.parquet", labels=[column])).samples.empty


def test_a_column_of_images_is_no_label(load: Load, root: Path) -> None:
    write_shard(root / "one.parquet", [png(0)], [0])
    with pytest.raises(DataError, match=r"the column 'image' holds struct.*neither text nor numbers") as caught:
        load(LabelTable(kind="table", table="one.parquet", labels=[LabelColumn(column="image")]))
    assert len(str(caught.value)) < 300


def test_only_the_row_groups_in_use_are_in_memory_and_no_file_is_open(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = RowGroups("image", workers=2)
    read: list[tuple[str, int]] = []
    whole = groups._read_anew
    monkeypatch.setattr(groups, "_read", lru_cache(3)(lambda one, at: read.append((one.name, at)) or whole(one, at)))
    held, files = [], []
    for name in ("one", "two", "three"):
        write_shard(root / f"{name}.parquet", [large(i) for i in range(40)], [0] * 40)
    before = pa.total_allocated_bytes()
    for name in ("one", "two", "three"):
        cells = ImageCells(Shard(name, str(root / f"{name}.parquet")), groups)
        assert [cells.read(row) for row in range(1, 41)] == [large(i) for i in range(40)]
        held.append(pa.total_allocated_bytes() - before)
        files.append(len(os.listdir("/proc/self/fd")))
    assert read == [(name, group) for name in ("one", "two", "three") for group in range(20)]
    assert RowGroups("image", workers=2)._read.cache_info().maxsize == 3  # type: ignore[attr-defined]
    assert max(held) < 6 * 2 * len(large(0)), "of 60 row groups of two images three are held"
    assert files == [files[0]] * 3


@pytest.mark.parametrize("pattern", ["nothing/*.parquet", "data/*.csv"])
def test_a_pattern_that_matches_nothing_is_an_error(load: Load, shards: None, pattern: str) -> None:
    with pytest.raises(DataError, match=r"no file in .* matches the pattern"):
        load(source(pattern))


def test_several_tables_without_images_are_an_error(load: Load, root: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (root / name).write_text("image,label\nx,y\n")
    with pytest.raises(DataError, match="several tables need images in the column `image`"):
        load(source("*.csv"))


def test_shards_that_declare_other_classes_are_an_error(load: Load, shards: None, root: Path) -> None:
    write_shard(root / "data/validation-00000-of-00001.parquet", [png(0)], [0], names=["bird", "dog"])
    with pytest.raises(DataError, match="declare different classes"):
        load(source())


def test_a_declared_class_that_means_missing_is_none(load: Load, shards: None) -> None:
    label = LabelColumn(column="label", missing=["9"], drop=["10"])
    loaded = load(LabelTable(kind="table", table="data/*.parquet", labels=[label]))
    assert loaded.classes == ["cat", "dog"]
    assert loaded.problems.scalars() == {"left_out_dropped_by_value": 3.0}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(13077, b"\\", False)  # of a file of 6 rows the labels of 4
@example(2460, b"\n", False)  # of a row group fewer images than it says
@given(st.integers(0, 10**6), st.binary(min_size=1, max_size=8), st.booleans())
def test_a_damaged_file_is_a_sentence_or_bad_cells(load: Load, root: Path, place: int, wrong: bytes, cut: bool) -> None:
    write_shard(root / "one.parquet", [png(i) for i in range(6)], [0, 1, 0, 1, 0, 1])
    data = (root / "one.parquet").read_bytes()
    place %= len(data)
    (root / "one.parquet").write_bytes(data[:place] + wrong + (b"" if cut else data[place + len(wrong) :]))
    with contextlib.suppress(DataError):
        loaded = load(source("one.parquet"))
        assert len(loaded.samples) + sum(loaded.problems.left_out.values()) >= 6
