"""The tables and figures of many tasks, from answers written by hand."""

import copy
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from few_digits import MATRIX

from experiments.figures import _gain, draw
from experiments.matrix import Cell, Matrix, Method
from experiments.place import Place
from experiments.results import MANY_TASKS, Results
from experiments.tables import markdown
from longtail.report.limits import GROUPS, MANY_CLASSES

METHODS: dict[str, Any] = {
    name: {"model": "crl", "change": {"fits": {"crl": {"cost": name == "better"}}}} for name in ("plain", "better")
}
# Training images by class and seed: on the mean 1:10, 1:2 and 1:4, in that order of the tasks.
TRAIN = {"rare": [[90, 10], [91, 8]], "even": [[30, 60], [30, 60]], "three": [[40, 30, 12], [40, 30, 8]]}
TESTED = 200  # images of each class


def make_results(root: Path, train: dict[str, list[list[int]]], seeds: list[int]) -> Results:
    """Two methods; in the last setting the second is 10 points better in every class of every task. `train` has, for
    each task, the training images of each class in the first seeds.
    """
    matrix = Matrix.model_validate(
        MATRIX | {"seeds": seeds, "baseline": "plain", "methods": METHODS, "paper": {}, "settings": {"a": {}, "b": {}}}
    )
    place = Place(Path("/data"), root, "many")
    for cell in matrix.cells():
        _write(place, cell, train, scale=3 if cell.setting == "a" else 1)
    return Results.of(matrix, place)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return make_results(tmp_path_factory.mktemp("few"), TRAIN, [0, 1])


def _write(place: Place, cell: Cell, train: dict[str, list[list[int]]], scale: int) -> None:
    result = place.result(cell)
    result.mkdir(parents=True)
    tasks, validation = {}, {}
    for task, counts in train.items():
        classes = [f"{task}-{code}" for code in range(len(counts[0]))]
        right = 120 + (20 if cell.method == "better" else 0) + cell.seed
        truth = np.repeat(np.arange(len(classes)), TESTED)
        hit = np.tile(np.arange(TESTED) < right, len(classes))
        said = np.where(hit, truth, (truth + 1) % len(classes))
        groups = np.tile(np.arange(TESTED), len(classes)).astype(np.str_)
        np.savez(result / f"answers-{task}.npz", truth=truth, groups=groups, head=said)
        sizes = [count if code else count * scale for code, count in enumerate(counts[cell.seed])]
        tasks[task], validation[task] = {"classes": classes, "train": sizes}, {"head": 0.5}
    kept = {task: {"head": {"strength": [1, 0.5][cell.seed % 2]}} for task in train} if cell.setting == "b" else None
    about = {"cell": cell.model_dump(mode="json"), "data": str(place.data), "tasks": tasks, "validation": validation}
    (result / "result.json").write_text(
        json.dumps(about | {"commits": ["abc"], "machine": "a machine"} | ({"chosen": kept} if kept else {})),
        encoding="utf-8",
    )


def test_tasks_are_ordered_by_their_mean_imbalance_in_the_last_setting(results: Results) -> None:
    assert list(results.ratios) == ["even", "three", "rare"]
    assert results.ratios == pytest.approx({"even": 2, "three": 4, "rare": 90.5 / 9})


def test_a_task_that_no_cell_of_the_last_setting_has_yet_is_left_out(results: Results) -> None:
    first = {key: found for key, found in results.found.items() if key[0] == "a"}
    assert replace(results, found=first).ratios == {}


def table(text: str, first: str) -> list[list[str]]:
    """The cells of the table whose heading begins with that word, heading and rows."""
    lines = text.splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith(f"| {first} |"))
    stop = next(place for place in range(start, len(lines)) if not lines[place])
    return [line.strip("| ").split(" | ") for line in lines[start:stop] if not line.startswith("| ---")]


def test_the_table_of_all_tasks_has_a_row_each_their_mean_and_its_difference_to_the_baseline(results: Results) -> None:
    heading, *rows, mean, gain = table(markdown("many", results), "task")
    assert heading == ["task", "plain, softmax head", "better, softmax head"]
    assert rows == [[f"{task}", "60.2", "**70.2***"] for task in ("even (1:2)", "three (1:4)", "rare (1:10)")]
    spread = np.std([60, 60.5], ddof=1)
    assert mean == ["mean of all", f"60.25 ± {spread:.2f}", f"70.25 ± {spread:.2f}"]
    assert gain[:2] == ["mean, to plain", "–"]
    assert gain[2].startswith("+10.00*")


@pytest.mark.parametrize("tasks", [1, MANY_TASKS, MANY_TASKS + 1, 40])
def test_many_tasks_are_one_page(tmp_path: Path, tasks: int) -> None:
    found = make_results(tmp_path, {f"t{t}": [[30 + t, 10], [30 + t, 10]] for t in range(tasks)}, [0, 1])
    text = markdown("many", found)
    tables = text.count("| --- |")
    figures = {file.name for file in draw(found)}
    widest = max(line.count(" | ") for line in text.splitlines())
    assert widest <= 4
    if tasks > MANY_TASKS:
        assert tables == 3
        assert figures == {"gain-by-imbalance.svg", "accuracy-mean.svg"}
        assert table(text, "method, rule")[1:] == [
            [f"{method}, softmax head", figure, "–", figure, f"τ {'1, 0.5' if tasks < 3 else '0.5 to 1'}"]
            for method, figure in (("plain", "60.25 ± 0.35"), ("better", "**70.25 ± 0.35**"))
        ]
    else:
        assert tables == 2 * tasks + (tasks > 1)
        assert {f"{kind}-t{t}.svg" for kind in ("accuracy", "gain") for t in range(tasks)} <= figures


@pytest.mark.parametrize(("seeds", "mark", "absent"), [([0], "†", "t-test"), ([0, 1], "*", "one seed alone")])
def test_the_caption_claims_no_test_over_seeds_of_a_single_one(
    tmp_path: Path, seeds: list[int], mark: str, absent: str
) -> None:
    text = markdown("many", make_results(tmp_path, TRAIN, seeds))
    assert f"+10.00{mark} [" in text
    assert f"{mark} where p < 0.05" in text
    assert absent not in text


def test_a_difference_of_one_seed_is_marked_as_such_beside_those_of_more(results: Results) -> None:
    without = {key: found for key, found in results.found.items() if key != ("b", "better", 1)}
    rows = results.rows[~((results.rows.setting == "b") & (results.rows.method == "better") & (results.rows.seed == 1))]
    text = markdown("many", replace(results, found=without, rows=rows))
    assert "t-test over the seeds" in text
    assert "one seed alone" in text
    (row,) = (cells for cells in table(text[text.index("Difference to") :], "method, rule")[1:])
    assert [cell.split(" ")[0][-1] for cell in row[1:]] == ["*", "†"]


def test_a_rule_by_which_no_cell_answers_and_a_budget_of_its_own_are_said(tmp_path: Path) -> None:
    found = make_results(tmp_path, TRAIN, [0, 1])
    assert "Left out, for no cell answers by it: `head_adjusted`.\n" in markdown("many", found)
    plain, better = (Method.model_validate(METHODS[name]) for name in ("plain", "better"))
    own = {"plain": plain, "better": better.model_copy(update={"rules": ["head", "large_margin"], "own_budget": True})}
    text = markdown("many", replace(found, matrix=found.matrix.model_copy(update={"methods": own})))
    assert "Left out, for no cell answers by it: `head_adjusted`, `large_margin`.\n" in text
    assert "| better (512 passes), softmax head |" in text
    assert "512 image passes for every method, but 512 for better;" in text


def test_the_mean_difference_counts_every_task_alike_and_draws_its_images_together(results: Results) -> None:
    found = results.difference(None, "b", ("better", "head"), ("plain", "head"))
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


@pytest.mark.parametrize("K", [2, 43, MANY_CLASSES + 1, 1000])
def test_the_gain_of_many_classes_is_drawn_in_rows_that_do_not_touch(tmp_path: Path, K: int) -> None:
    found = make_results(tmp_path, {"kind": [list(range(1, K + 1))]}, [0])
    figure = _gain("kind", found)
    (axes,) = figure.axes
    figure.draw_without_rendering()
    labels = sorted((label.get_window_extent() for label in axes.get_yticklabels()), key=lambda box: box.y0)
    assert len(labels) == (K if K <= MANY_CLASSES else GROUPS)
    assert all(below.y1 <= above.y0 for below, above in pairwise(labels))
    gains = axes.lines[0].get_xdata()
    assert gains == pytest.approx([10] * len(labels))
    plt.close(figure)


def test_the_background_class_is_no_part_of_the_imbalance(results: Results) -> None:
    found = copy.deepcopy(results.found)
    for result in found.values():
        result["tasks"]["three"]["background"] = "three-2"
    assert replace(results, found=found).ratios["three"] == pytest.approx(40 / 30)
