"""The tables and figures of many tasks, from answers written by hand."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from few_digits import MATRIX

from experiments.figures import draw
from experiments.matrix import Cell, Matrix
from experiments.place import Place
from experiments.results import Results, markdown

METHODS: dict[str, Any] = {
    name: {"model": "crl", "change": {"fits": {"crl": {"cost": name == "better"}}}} for name in ("plain", "better")
}
# Training images by class and seed: on the mean 1:10, 1:2 and 1:4, in that order of the tasks.
TRAIN = {"rare": [[90, 10], [91, 8]], "even": [[30, 60], [30, 60]], "three": [[40, 30, 12], [40, 30, 8]]}
TESTED = 200  # images of each class


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Two methods with two seeds; in the last setting the second is 10 points better in every class of every task."""
    matrix = Matrix.model_validate(
        MATRIX | {"seeds": [0, 1], "baseline": "plain", "methods": METHODS, "paper": {}, "settings": {"a": {}, "b": {}}}
    )
    place = Place(Path("/data"), tmp_path_factory.mktemp("many"), "many")
    for cell in matrix.cells():
        _write(place, cell, scale=3 if cell.setting == "a" else 1)
    return Results.of(matrix, place)


def _write(place: Place, cell: Cell, scale: int) -> None:
    result = place.result(cell)
    result.mkdir(parents=True)
    tasks, validation = {}, {}
    for task, counts in TRAIN.items():
        classes = [f"{task}-{code}" for code in range(len(counts[0]))]
        right = 120 + (20 if cell.method == "better" else 0) + cell.seed
        truth = np.repeat(np.arange(len(classes)), TESTED)
        hit = np.tile(np.arange(TESTED) < right, len(classes))
        said = np.where(hit, truth, (truth + 1) % len(classes))
        groups = np.tile(np.arange(TESTED), len(classes)).astype(np.str_)
        np.savez(result / f"answers-{task}.npz", truth=truth, groups=groups, head=said)
        sizes = [count if code else count * scale for code, count in enumerate(counts[cell.seed])]
        tasks[task], validation[task] = {"classes": classes, "train": sizes}, {"head": 0.5}
    about = {"cell": cell.model_dump(mode="json"), "data": str(place.data), "tasks": tasks, "validation": validation}
    (result / "result.json").write_text(json.dumps(about | {"commits": ["abc"], "machine": "a machine"}))


def test_tasks_are_ordered_by_their_mean_imbalance_in_the_last_setting(results: Results) -> None:
    assert list(results.ratios) == ["even", "three", "rare"]
    assert results.ratios == pytest.approx({"even": 2, "three": 4, "rare": 90.5 / 9})


def test_a_task_that_no_cell_of_the_last_setting_has_yet_is_left_out(results: Results) -> None:
    first = {key: found for key, found in results.found.items() if key[0] == "a"}
    assert replace(results, found=first).ratios == {}


def test_the_table_of_all_tasks_has_their_mean_and_its_difference_to_the_baseline(results: Results) -> None:
    lines = markdown("many", results).splitlines()
    heading = next(line for line in lines if line.startswith("| method"))
    columns = "method, rule | even (1:2) | three (1:4) | rare (1:10) | mean of all | to plain"
    assert heading == f"| {columns} |"
    start = lines.index(heading)
    cells = [line.strip("| ").split(" | ") for line in lines[start + 2 : start + 4]]
    spread = np.std([60, 60.5], ddof=1)
    assert cells[0] == ["plain, softmax head", "60.2", "60.2", "60.2", f"60.25 ± {spread:.2f}", "–"]
    assert cells[1][:5] == ["better, softmax head", "70.2", "70.2", "70.2", f"70.25 ± {spread:.2f}"]
    assert cells[1][5].startswith("+10.00*")


def test_the_mean_difference_counts_every_task_alike_and_draws_its_images_together(results: Results) -> None:
    found = results.mean_difference("b", ("better", "head"), ("plain", "head"))
    alone = results.difference("even", "b", ("better", "head"), ("plain", "head"))
    assert found is not None
    assert alone is not None
    assert found.mean == pytest.approx(0.1)
    # The same images in every class of every task: all tasks together know no more than one of them.
    assert (found.low, found.high) == pytest.approx((alone.low, alone.high), abs=0.003)


def test_the_gain_of_every_task_is_drawn(results: Results) -> None:
    files = {file.name for file in draw(results)}
    assert "gain-by-imbalance.svg" in files
    text = (results.place.work / "gain-by-imbalance.svg").read_text()
    for name in ("even  1 : 2", "three  1 : 4", "rare  1 : 10"):
        assert f"<!-- {name} -->" in text
