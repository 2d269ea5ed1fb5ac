"""Arrays that are written row by row."""

import tracemalloc
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_disk import small_disk

from longtail.artifacts.rows import RowsFile
from longtail.data.colours import write_histograms
from longtail.data.feature_set import FeatureInfo, write_features


@settings(max_examples=50)
@given(
    cuts=st.lists(st.integers(0, 9), max_size=5),
    row=st.sampled_from([(), (1,), (3,), (2, 4), (0,)]),
    dtype=st.sampled_from(["float16", "float32", "uint16", "uint8"]),
)
def test_the_file_is_the_one_that_numpy_writes(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], row: tuple[int, ...], dtype: str
) -> None:
    folder, bounds = tmp_path_factory.mktemp("rows"), [0, *sorted(cuts), 9]
    values = np.random.default_rng(0).normal(scale=9, size=(9, *row)) ** 2
    with RowsFile(folder / "rows.npy", values.shape, dtype) as file:
        for start, stop in pairwise(bounds):
            file.add(np.asfortranarray(values[start:stop]))
    np.save(folder / "numpy.npy", values.astype(dtype))
    assert (folder / "rows.npy").read_bytes() == (folder / "numpy.npy").read_bytes()


def test_rows_that_are_missing_or_of_another_shape_are_no_file(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="2 of 3 rows"), RowsFile(tmp_path / "a.npy", (3, 2), "float32") as file:
        file.add(np.zeros((2, 2)))
    with pytest.raises(AssertionError, match="rows"), RowsFile(tmp_path / "b.npy", (3, 2), "float32") as file:
        file.add(np.zeros((2, 1)))


def test_what_goes_wrong_between_blocks_is_what_is_told(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="of the source"), RowsFile(tmp_path / "a.npy", (3, 2), "float32"):
        raise OSError("of the source")


def test_no_more_than_a_block_is_in_memory(tmp_path: Path) -> None:
    block = np.ones((1_000, 100), np.float32)
    tracemalloc.start()
    with RowsFile(tmp_path / "a.npy", (50_000, 100), "float16") as file:
        for _ in range(50):
            file.add(block)
    assert tracemalloc.get_traced_memory()[1] < 3 * block.nbytes
    tracemalloc.stop()


def of_histograms(path: Path) -> None:
    write_histograms(path, lambda rows: np.zeros((len(rows), 8, 8, 3), np.uint8), 100, 11, 10)


def of_features(path: Path) -> None:
    def blocks() -> Iterator[npt.NDArray[np.float32]]:
        yield from (np.zeros((10, 64), np.float32) for _ in range(10))

    info = FeatureInfo.model_construct(samples=100, length=64, positions=None, views=0, precision="float32")
    write_features(path, info, blocks(), [], 0)


@pytest.mark.parametrize("write", [of_histograms, of_features])
def test_a_full_disk_is_an_error_and_no_signal(tmp_path: Path, write: Callable[[Path], None]) -> None:
    with small_disk(tmp_path, "size=8k"), pytest.raises(OSError, match="No space left on device"):
        write(tmp_path)
