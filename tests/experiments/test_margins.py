"""The coarse search over margins: the bounds of the data at hand and their halves, run and ranked on validation."""

from pathlib import Path
from typing import Any

import pytest
from few_digits import MATRIX

from experiments.margins import search
from experiments.matrix import Matrix
from experiments.place import Place
from longtail.data.splits import Split
from longtail.errors import DataError
from longtail.quintuplets.hinge import margin_bounds

METHODS = {
    "quintuplet": {"model": "r1"},
    "softmax": {"model": "softmax", "change": {"fits": {"softmax": {"optimisation": {"image_passes": 512}}}}},
    "triplet": {"model": "r1", "change": {"train": {"method": {"kind": "triplet"}}}},
}
CHANGE: dict[str, Any] = {"methods": METHODS, "baseline": "quintuplet", "paper": {}}


@pytest.fixture
def matrix() -> Matrix:
    return Matrix.model_validate(MATRIX | CHANGE)


def test_decreasing_margins_are_tried_and_ranked(
    matrix: Matrix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LONGTAIL_TRACKING", "off")
    place = Place(tmp_path, tmp_path / "work", "margins")
    table = search("margins", matrix, "40 %", "quintuplet", place, share=1.0, count=2, processes=1)
    (split,) = [file for file in (tmp_path / "work/steps").glob("*/split-*") if file.is_dir()]
    sizes = Split.open(split).info.subsets["train"].counts["digit"]
    g1, g2, g3 = margin_bounds(sizes, 50)
    assert sorted(table["g3"]) == pytest.approx([g3 / 2, g3])
    assert sorted(table["g1"]) == pytest.approx([g1 / 2, g1])
    assert max(table["g2"]) == pytest.approx(max(g2))
    assert table["mean"].is_monotonic_decreasing
    assert table["mean"].between(0, 100).all()


def test_an_unknown_setting_or_method_is_said(matrix: Matrix, tmp_path: Path) -> None:
    place = Place(tmp_path, tmp_path / "work", "margins")
    with pytest.raises(DataError, match="the experiment has no '90 %'; it has"):
        search("margins", matrix, "90 %", "quintuplet", place, share=1.0, count=1, processes=1)
    with pytest.raises(DataError, match="the experiment has no 'lmle'; it has"):
        search("margins", matrix, "40 %", "lmle", place, share=1.0, count=1, processes=1)


@pytest.mark.parametrize("method", ["softmax", "triplet"])
def test_a_method_without_margins_is_refused(matrix: Matrix, tmp_path: Path, method: str) -> None:
    place = Place(tmp_path, tmp_path / "work", "margins")
    with pytest.raises(DataError, match=f"'{method}' has no margins to search; choose .* lmle or joint"):
        search("margins", matrix, "40 %", method, place, share=1.0, count=1, processes=1)
