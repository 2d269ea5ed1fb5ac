"""The coarse search over margins: the bounds of the data at hand and their halves, run and ranked on validation."""

from pathlib import Path
from typing import Any

import pytest
from few_digits import MATRIX

from experiments.margins import search
from experiments.matrix import Matrix, merge
from experiments.run import Place
from longtail.data.splits import Split
from longtail.errors import DataError
from longtail.quintuplets.hinge import margin_bounds

CHANGE: dict[str, Any] = {
    "methods": {"quintuplet": {"change": {"start": {"optimisation": {"image_passes": 128}}}}},
    "baseline": "quintuplet",
    "paper": {},
}


@pytest.fixture
def matrix() -> Matrix:
    values = {name: value for name, value in MATRIX.items() if name not in CHANGE}
    return Matrix.model_validate(merge(values, CHANGE))


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
