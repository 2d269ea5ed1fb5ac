"""The map of the embedding: what stands on its classes, and where."""

import base64

import numpy as np
import pytest
from report_content import make_task

from longtail.report.figures import style
from longtail.report.map_figure import embedding_map, pushed_apart
from longtail.report.names import short
from longtail.report.page import map_legend


@pytest.mark.parametrize("size", [(1.0, 1.0), (6.0, 1.0), (0.02, 0.05)])
@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_labels_at_one_place_are_pushed_apart(size: tuple[float, float], spread: float) -> None:
    rng = np.random.default_rng(0)
    sizes = np.array(size) * rng.uniform(0.5, 1, (8, 2))
    places = pushed_apart(spread * rng.normal(0, size, (8, 2)), sizes)
    gaps = np.abs(places[:, None] - places) / ((sizes[:, None] + sizes) / 2)
    assert gaps.max(axis=2)[np.triu_indices(8, 1)].min() > 0.95


@pytest.mark.parametrize(
    ("classes", "on_map"),
    [
        (["cat", "guinea pig", "西陣織の帯"], ["cat", "guinea pig", "西陣織の帯"]),
        (["basal cell carcinoma in situ", "nevus"], ["basal cell carcinom…", "nevus"]),
        ([f"animal {number:02d}" for number in range(16)], [f"animal {number:02d}" for number in range(16)]),
        ([f"animal {number:02d}" for number in range(17)], [str(number) for number in range(1, 18)]),
        ([f"c{number}" for number in range(30)], [f"c{number}" for number in range(30)]),
        (["naevus of the left arm, upper", "naevus of the left arm, lower"], ["1", "2"]),
    ],
)
def test_classes_have_their_names_on_the_map_where_there_is_room(classes: list[str], on_map: list[str]) -> None:
    task = make_task(classes, k_search=None, mistakes=[])
    with style():
        drawn = embedding_map(task)
    assert drawn is not None
    text = base64.b64decode(drawn.address.partition(",")[2]).decode()
    assert [label for label in on_map if f"{label}</text>" in text] == on_map
    legend = [(number or short(name, 20), name) for _, number, name in map_legend(task)]
    assert legend == list(zip(on_map, classes, strict=True))
