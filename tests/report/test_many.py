"""Very many classes, and very many tasks: the page opens, its figures are few, and its files are small."""

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from report_content import class_names, make_models, make_report, make_rounds, make_task

from longtail.artifacts.reading import read_json
from longtail.data.imbalance import measure
from longtail.metrics.classification import evaluate
from longtail.network.snapshot import Round, State
from longtail.report import ModelReport, Row, TaskReport, render
from longtail.report.class_figures import class_groups
from longtail.report.confusion_figure import _counts, confused_classes
from longtail.report.content import MEAN, Standing
from longtail.report.files import write_tables
from longtail.report.limits import GROUPS, IN_FULL, MANY_CLASSES, MANY_TASKS, WORST, in_full
from longtail.report.tables import round_rows

LIGHT: dict[str, Any] = {"embedding": None, "k_search": None, "mistakes": [], "fineness": None, "doubts": None}


def task_of(K: int, background: bool = False) -> TaskReport:
    """Classes of sizes in no order, each right in half of its two test images."""
    classes = class_names(K)
    train = (np.arange(K) * 7919 % K + 1).tolist()
    labels = np.repeat(np.arange(K), 2)
    predicted = np.where(np.arange(2 * K) % 2, labels, (labels + 1) % K)
    name = classes[0] if background else None
    metrics = evaluate(labels, predicted, classes=classes, train_counts=train, background=name, resamples=10)
    counts = {"train": train, "test": [2] * K}
    row = Row("r3", "head", metrics, own=True)
    imbalance = measure(train, classes)
    return make_task(classes, counts=counts, imbalance=imbalance, rows=[row], baseline="r3", background=name, **LIGHT)


@pytest.mark.parametrize("K", [MANY_CLASSES + 1, 3000])
@pytest.mark.parametrize("background", [False, True])
def test_many_classes_are_shown_in_groups_and_the_worst_by_name(K: int, background: bool) -> None:
    task = task_of(K, background)
    page = render(make_report([task], models=make_models(["label"])[:1]))
    assert len(page) < 1_500_000
    text = re.sub(r"base64,[^\"]+", "", page)
    assert len(text) < 60_000
    assert f"The {WORST} pairs of classes that are confused most" in text
    assert f"the {WORST} classes of lowest recall" in text
    assert "more." in text  # minority classes


@pytest.mark.parametrize("K", [2, MANY_CLASSES, MANY_CLASSES + 1, 3000])
def test_groups_hold_every_class_once_by_size(K: int) -> None:
    task = task_of(K)
    groups = class_groups(task, task.by_size)
    assert [code for group in groups for code in group.codes] == task.by_size
    assert len(groups) == (K if K <= MANY_CLASSES else GROUPS)
    sizes = [len(group.codes) for group in groups]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("K", [2, 40, MANY_CLASSES + 1, 1237])
@pytest.mark.parametrize("background", [False, True])
def test_the_cells_of_the_confusion_figure_hold_every_answer_once(K: int, background: bool) -> None:
    task = task_of(K, background)
    counts = _counts(task, *confused_classes(task))
    assert counts.sum() == task.main.metrics.samples
    assert max(counts.shape) <= 500
    whole = np.zeros((K, K), dtype=np.int64)
    for true, predicted, count in task.main.metrics.confusion:
        whole[true, predicted] = count
    rows, columns = confused_classes(task)
    if K <= 500:
        assert np.array_equal(counts, whole[rows][:, columns])
    else:
        down, across = (np.arange(len(codes)) * 500 // len(codes) == 0 for codes in (rows, columns))
        assert counts[0, 0] == whole[rows][:, columns][down][:, across].sum()


@pytest.mark.parametrize("tasks", [MANY_TASKS, MANY_TASKS + 1, 200])
def test_of_many_tasks_the_worst_are_shown_in_full_and_all_in_the_table(tasks: int) -> None:
    rng = np.random.default_rng(0)
    made = [make_task(["no", "yes"], f"task{t}", seed=t, **LIGHT) for t in rng.permutation(tasks)]
    scores = [task.main.metrics.mean_class_accuracy or 0.0 for task in made]
    shown = in_full(made)
    if tasks <= MANY_TASKS:
        assert shown == list(range(tasks))
    else:
        assert sorted(scores[place] for place in shown) == sorted(scores)[:IN_FULL]
    means = [Standing("r3", 0.8, (0.79, 0.81), None), Standing("softmax", 0.7)]
    page = render(make_report(made, means=means))
    assert page.count('<section class="task"') == len(shown)
    table = page[page.index("<h2>All tasks</h2>") :]
    assert all(f'<th scope="row">{task.name}</th>' in table for task in made)
    assert page.count("<img") < 70
    assert len(page) < 4_000_000
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(re.findall(r'id="([^"]+)"', page))


def test_the_rounds_of_many_tasks_have_a_column_for_their_mean() -> None:
    names = [f"task{number}" for number in range(MANY_TASKS + 1)]
    heading, rows = round_rows(make_rounds(names, number=2))
    assert heading == ["round", "iterations", "final loss", f"validation: mean of {len(names)} tasks, %"]
    assert {len(row) for row in rows} == {4}


def test_no_class_is_a_formula_of_a_spreadsheet(tmp_path: Path) -> None:
    task = task_of(2)
    named = [
        one.model_copy(update={"name": name})
        for one, name in zip(task.own_rows[0].metrics.per_class, ("=1+1", "a"), strict=True)
    ]
    row = replace(task.own_rows[0], metrics=task.own_rows[0].metrics.model_copy(update={"per_class": named}))
    task = TaskReport(**{**vars(task), "rows": [row]})
    report = make_report([task], models=[ModelReport("r3", "LMLE", "trained", "cluster_wise")], means=[])
    answers = {"id": ["x"], "true": ["a"], "r3.head": ["b"]}
    pd.DataFrame(answers).to_parquet(tmp_path / f"predictions-{task.name}.parquet")
    write_tables(report, State(rule="head", history=[Round(round=0, scores={}, curve=[])]), tmp_path)
    assert pd.read_csv(tmp_path / "per_class.csv")["class"].tolist() == ["'=1+1", "a"]
    answers = {"id": ["x"], "true": ["=1+1"], task.main.key: ["@a"]}
    pd.DataFrame(answers).to_parquet(tmp_path / f"predictions-{task.name}.parquet")
    for old in ("models", "plots"):
        shutil.rmtree(tmp_path / old)
    write_tables(report, State(rule="head", history=[Round(round=0, scores={}, curve=[])]), tmp_path)
    (pair,) = pd.read_csv(tmp_path / "plots/confusion.csv").to_dict("records")
    assert pair == {"actual": "'=1+1", "predicted": "'@a"}


@pytest.mark.parametrize("reference", [None, 0.7])
def test_the_baseline_differs_from_what_others_are_compared_with(tmp_path: Path, reference: float | None) -> None:
    task = replace(task_of(2), baseline="r3", reference_accuracy=reference, reference=reference and "head_adjusted")
    report = make_report([task], models=[ModelReport("r3", "LMLE", "trained", "cluster_wise")], means=[])
    pd.DataFrame({"id": ["x"], "true": ["a"], "r3.head": ["b"]}).to_parquet(
        tmp_path / f"predictions-{task.name}.parquet"
    )
    write_tables(report, State(rule="head", history=[Round(round=0, scores={}, curve=[])]), tmp_path)
    found = read_json(tmp_path / "models/r3.json")[task.name]
    accuracy = task.main.metrics.mean_class_accuracy
    assert found["difference"] == pytest.approx(0 if reference is None else accuracy - reference)


@pytest.mark.parametrize(("K", "tasks"), [(3, 1), (2, 2), (2, MANY_TASKS + 1), (2000, 1)])
def test_the_files_beside_the_page_hold_every_class_and_stay_small(tmp_path: Path, K: int, tasks: int) -> None:
    made = [task_of(K) for _ in range(tasks)]
    made = [TaskReport(**{**vars(task), "name": f"task{t}"}) for t, task in enumerate(made)]
    means = [Standing("r3", 0.5, (0.4, 0.6))] if tasks > 1 else []
    report = make_report(made, models=[ModelReport("r3", "LMLE", "trained", "cluster_wise")], means=means)
    for task in made:
        answers = {"true": ["a"], "r3.head": ["b"]}
        pd.DataFrame({"id": ["x"], **answers}).to_parquet(tmp_path / f"predictions-{task.name}.parquet")
    write_tables(report, State(rule="head", history=[Round(round=0, scores={}, curve=[])]), tmp_path)
    classes = pd.read_csv(tmp_path / "per_class.csv")
    assert len(classes) == K * tasks
    assert list(classes)[:4] == ["task", "model", "rule", "class"]
    assert (tmp_path / "metrics.json").stat().st_size < 40_000 * tasks
    measured = read_json(tmp_path / "metrics.json")["task0"]["r3"]["rules"]["head"]
    if K <= MANY_CLASSES:
        assert np.array(measured["confusion"]).shape == (K, K)
        assert np.array(measured["confusion"]).sum() == measured["samples"]
    else:
        assert "confusion" not in measured
        assert len(measured["most_confused"]) == len(measured["worst_classes"]) == WORST
    compared = read_json(tmp_path / "models/r3.json")
    expected = {1: ["task0"], 2: [MEAN, "task0", "task1"]}.get(tasks, [MEAN])
    assert list(compared) == expected
