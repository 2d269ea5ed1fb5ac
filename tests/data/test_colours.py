"""Colour histograms: hand-made images fall where the hue and the saturation say, and ρ is Pearson's correlation."""

import colorsys
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from longtail.data.colours import SIDE, histogram, open_histograms, standardised, write_histograms

PIXELS = SIDE**2


def counts_of(image: npt.NDArray[np.uint8], grid: int = 5) -> dict[tuple[int, int], int]:
    """What is not 0, by row and column of the grid."""
    counts = histogram(image, grid)
    assert counts.dtype == np.uint16
    assert counts.shape == (grid**2,)
    assert counts.sum(dtype=np.int64) == PIXELS
    return {(int(cell) // grid, int(cell) % grid): int(counts[cell]) for cell in np.flatnonzero(counts)}


def plain(*colour: int, height: int = 20, width: int = 30) -> npt.NDArray[np.uint8]:
    return np.full((height, width, len(colour)), colour, np.uint8)


def slow(image: npt.NDArray[np.uint8], grid: int) -> npt.NDArray[np.int64]:
    """Eq. 7's words, pixel by pixel."""
    counts = np.zeros(grid**2, np.int64)
    rgb = image.repeat(3, axis=2) if image.shape[2] == 1 else image
    for pixel in np.asarray(Image.fromarray(rgb).resize((SIDE, SIDE), Image.Resampling.BILINEAR)).reshape(-1, 3):
        hue, saturation, _ = colorsys.rgb_to_hsv(*(pixel / 255).tolist())
        x, y = saturation * math.cos(2 * math.pi * hue), saturation * math.sin(2 * math.pi * hue)
        column, row = (min(math.floor(round((1 + value) * grid / 2, 9)), grid - 1) for value in (x, y))
        counts[row * grid + column] += 1
    return counts


# The colour, and its row and column: of full saturation at the edges, between, and at the wrap-around of the hue.
HUES = {
    "red, hue 0": ((255, 0, 0), (2, 4)),
    "red just below hue 1": ((255, 0, 1), (2, 4)),
    "red just above hue 0": ((255, 1, 0), (2, 4)),
    "yellow, hue 1/6": ((255, 255, 0), (4, 3)),
    "chartreuse, hue 1/4: the upper edge": ((128, 255, 0), (4, 2)),
    "green, hue 1/3": ((0, 255, 0), (4, 1)),
    "cyan, hue 1/2: the lower edge": ((0, 255, 255), (2, 0)),
    "blue, hue 2/3": ((0, 0, 255), (0, 1)),
    "magenta, hue 5/6": ((255, 0, 255), (0, 3)),
    "dark red": ((3, 0, 0), (2, 4)),
    "pale red, saturation 1/2": ((254, 127, 127), (2, 3)),
    "saturation 0.2, between two cells": ((255, 204, 204), (2, 3)),
    "saturation 0.6, between two cells": ((255, 102, 102), (2, 4)),
    "hue 1/2, saturation 0.6, between two cells": ((102, 255, 255), (2, 1)),
    "black": ((0, 0, 0), (2, 2)),
    "white": ((255, 255, 255), (2, 2)),
    "nearly grey": ((120, 122, 119), (2, 2)),
}


@pytest.mark.parametrize("name", HUES)
def test_an_image_of_one_colour_lies_in_one_cell(name: str) -> None:
    colour, cell = HUES[name]
    assert counts_of(plain(*colour)) == {cell: PIXELS}


@pytest.mark.parametrize("grid", [2, 3, 4, 5, 6, 7, 64])
def test_full_saturation_in_every_direction_stays_on_the_grid_and_grey_is_at_its_centre(grid: int) -> None:
    ends = {"x": (255, 0, 0), "y": (128, 255, 0), "-x": (0, 255, 255)}
    found = {name: next(iter(counts_of(plain(*colour), grid))) for name, colour in ends.items()}
    assert found["x"] == (grid // 2, grid - 1)
    assert found["-x"] == (grid // 2, 0)
    assert found["y"][0] == grid - 1
    assert counts_of(plain(77), grid) == {(grid // 2, grid // 2): PIXELS}


def test_two_halves_are_two_cells_of_half_the_pixels() -> None:
    halves = np.concatenate([plain(255, 0, 0, height=SIDE, width=112), plain(0, 0, 255, height=SIDE, width=112)], 1)
    assert counts_of(halves) == {(2, 4): PIXELS // 2, (0, 1): PIXELS // 2}


@pytest.mark.parametrize("value", [0, 1, 128, 255])
def test_a_grey_image_of_one_channel_is_one_of_three_equal_channels(value: int) -> None:
    assert counts_of(plain(value)) == counts_of(plain(value, value, value)) == {(2, 2): PIXELS}


@pytest.mark.parametrize("shape", [(9, 13, 3), (8, 8, 1), (300, 250, 3)])
@pytest.mark.parametrize("grid", [5, 6])
def test_it_is_the_slow_definition(shape: tuple[int, int, int], grid: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    assert np.array_equal(histogram(image, grid), slow(image, grid))


COUNTS = hnp.arrays(np.uint16, st.tuples(st.integers(1, 6), st.integers(2, 12)), elements=st.integers(0, PIXELS))


@settings(deadline=None)
@given(COUNTS)
def test_the_correlation_is_pearsons(counts: npt.NDArray[np.uint16]) -> None:
    rows = standardised(counts)
    found = rows @ rows.T
    assert np.abs(found).max() <= 1 + 1e-6
    for i, one in enumerate(counts.tolist()):
        for o, other in enumerate(counts.tolist()):
            even = len(set(one)) == 1 or len(set(other)) == 1
            expected = 0.0 if even else np.corrcoef(one, other)[0, 1]
            assert found[i, o] == pytest.approx(expected, abs=1e-6)


@settings(deadline=None)
@given(COUNTS)
def test_a_standardised_histogram_is_of_length_1_and_without_a_mean_unless_it_is_even(
    counts: npt.NDArray[np.uint16],
) -> None:
    rows = standardised(counts)
    assert rows.dtype == np.float32
    assert np.abs(rows.sum(1)).max() < 1e-5
    varies = counts.max(1) > counts.min(1)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(varies.astype(float), abs=1e-6)
    assert not rows[~varies].any()


def test_images_without_a_common_colour_correlate_negatively_and_the_same_colour_in_two_brightnesses_fully() -> None:
    images = [plain(255, 0, 0), plain(100, 0, 0), plain(0, 0, 255)]
    rows = standardised(np.stack([histogram(image, 5) for image in images]))
    found = rows @ rows.T
    assert found[0, 1] == pytest.approx(1)
    assert found[0, 2] == pytest.approx(-1 / 24)


@pytest.mark.parametrize("block", [1, 3, 100])
@pytest.mark.parametrize("threads", ["1", "2"])
def test_the_file_does_not_depend_on_blocks_and_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, threads: str
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    images = np.random.default_rng(0).integers(0, 256, (7, 6, 9, 3), np.uint8)
    write_histograms(tmp_path, lambda rows: images[rows], len(images), 5, block)
    found = open_histograms(tmp_path, 7, 5)
    assert np.array_equal(found, [histogram(image, 5) for image in images])


@pytest.mark.parametrize("change", [{"count": 6}, {"count": 8}, {"grid": 4}])
def test_histograms_of_other_images_are_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    write_histograms(tmp_path, lambda rows: np.zeros((len(rows), 4, 4, 1), np.uint8), 7, 5, 3)
    with pytest.raises(ValueError, match=r"colours\.npy holds uint16 \(7, 25\)"):
        open_histograms(tmp_path, **{"count": 7, "grid": 5, **change})
