"""The report: whole, the same every time, safe with any name, and without empty figures."""

import base64
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from report_content import TITLES, class_names, make_map, make_models, make_report, make_rounds, make_task

from longtail.data.imbalance import measure
from longtail.metrics.classification import evaluate
from longtail.metrics.significance import Difference
from longtail.report import KCurve, KSearch, ModelReport, Report, Round, Row, TaskReport, render
from longtail.report.figures import style
from longtail.report.names import columns, short
from longtail.report.round_figures import training_curves, validation_curve
from longtail.report.tables import comparison_rows, metric_table, parameter_sections, round_rows
from longtail.report.task_tables import gain_rows, task_rows
from longtail.report.titles import row_title, rule_title
from longtail.rules.registry import RULES

NASTY = [
    "<script>alert(1)</script>",
    "$x_1$ costs $5",
    "西陣織の絹織物",
    "فستان",
    "a & b",
    "line\nbreak \x00\x1b",
    "\udcff",
    "",
]

# Parts that cost time to draw.
LIGHT: dict[str, Any] = {"operating": None, "embedding": None, "k_search": None, "mistakes": []}
# Distribution, intervals, reliability, confusion, classes, map and k of a task; the loss of each of three models, and
# the validation of the one with rounds.
FIGURES = 11
LEADING, BASELINE = "r3 (cluster-wise kNN)", "softmax (softmax head)"
NETWORK = re.compile(r'(src|href)="(?!data:|#)|<script|@import|url\(')


def figures(html: str) -> list[str]:
    """Every SVG of the page, each of which must be well-formed XML."""
    found = re.findall(r'"data:image/svg\+xml;base64,([^"]+)"', html)
    texts = [base64.b64decode(part).decode() for part in found]
    for text in texts:
        ElementTree.fromstring(text)
    return texts


@pytest.mark.parametrize("K", [2, 10, 40])
def test_renders_for_any_number_of_classes(K: int) -> None:
    html = render(make_report([make_task(class_names(K))]))
    assert len(figures(html)) == FIGURES
    assert 'class="absent"' not in html
    assert "nan" not in re.sub(r'base64,[^"]+', "", html).lower()
    assert not NETWORK.search(html)


def test_two_tasks_have_a_section_each() -> None:
    tasks = [make_task(["a", "b"], "label", **LIGHT), make_task(["c", "d", "e"], "kids", seed=1, **LIGHT)]
    html = render(make_report(tasks))
    ids = re.findall(r'id="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert all(target in ids for target in re.findall(r'href="#([^"]+)"', html))
    assert html.count('<section class="task"') == 2


def test_all_tasks_stand_in_one_table_the_least_imbalanced_first() -> None:
    yes = ["no", "yes"]
    two = {"classes": yes}
    tasks = [
        make_task(class_names(4), "kind", imbalance=measure([80, 40, 30, 20], class_names(4))),
        make_task(name="rare", counts={"train": [98, 2], "test": [1, 1]}, imbalance=measure([98, 2], yes), **two),
        make_task(name="even", counts={"train": [51, 49], "test": [1, 1]}, imbalance=measure([51, 49], yes), **two),
    ]
    heading, rows = task_rows(tasks)
    assert heading[:3] == ["task", "imbalance", LEADING]
    assert [row[0].text for row in rows] == ["even", "kind", "rare", "mean"]
    assert [(row[1].text, row[1].below) for row in rows[:3]] == [
        ("1 : 1", "level 1"),
        ("4 : 1", ""),
        ("49 : 1", "level 48"),
    ]
    own = len({row.model for row in tasks[0].rows})
    assert (
        heading[2 + own] == f"r3 to {tasks[0].baseline}, points"
    )  # before the other rules, which a screen may cut off
    values = [task.main.metrics.mean_class_accuracy for task in tasks]
    assert rows[-1][2].text == f"{100 * sum(value or 0 for value in values) / 3:.1f}"
    assert "All tasks" in render(make_report(tasks))
    assert "All tasks" not in render(make_report(tasks[:1]))


def test_a_rule_that_answers_for_some_tasks_has_no_mean_beside_those_over_all() -> None:
    tasks = [make_task(["no", "yes"], "rare"), make_task(class_names(4), "kind")]
    binary = [replace(row, rule="head_thresholds") if row.rule == "sample_wise" else row for row in tasks[0].rows]
    heading, rows = task_rows([replace(tasks[0], rows=binary), tasks[1]])
    column = heading.index("r3 (softmax head, by a threshold)")
    assert rows[0][column].text not in ("–", "")
    assert [row[column].text for row in rows[1:]] == ["–", "–"]
    assert rows[-1][heading.index(LEADING)].text != "–"


def with_accuracies(task: TaskReport, values: dict[str, float | None]) -> TaskReport:
    """The task with other mean per-class accuracies of each model by its own rule."""
    rows = [
        replace(row, metrics=row.metrics.model_copy(update={"mean_class_accuracy": values[row.model]}))
        if row.own and row.model in values
        else row
        for row in task.rows
    ]
    return replace(task, rows=rows)


def alone(task: TaskReport) -> TaskReport:
    """The task with the leading model alone, by all its rules."""
    rows = [replace(row, difference=None) for row in task.rows if row.model == task.main.model]
    return replace(task, rows=rows, baseline=task.main.model)


def test_gains_over_the_baseline_stand_by_imbalance_ratio() -> None:
    def task(name: str, counts: list[int], mine: float, other: float | None) -> TaskReport:
        made = make_task(["no", "yes"], name, imbalance=measure(counts, ["no", "yes"]))
        return with_accuracies(made, {"r3": mine, "softmax": other})

    tasks = [
        task("rare", [90, 10], 0.6, 0.7),
        task("empty", [90, 0], 0.5, 0.4),
        task("even", [50, 50], 0.8, 0.5),
        task("untested", [50, 50], 0.8, None),
        alone(task("one model", [50, 50], 0.8, 0.5)),
    ]
    found = gain_rows(tasks)
    assert [(name, ratio) for name, ratio, _ in found] == [("even", 1.0), ("rare", 9.0), ("empty", None)]
    assert [gain for *_, gain in found] == pytest.approx([0.3, -0.1, 0.1])
    html = render(make_report(tasks))
    assert f"gains over {BASELINE}" in html
    assert "gains over" not in render(make_report(tasks[:1]))


def test_of_a_leading_baseline_the_gain_is_that_of_the_model_set_against_it() -> None:
    task = with_accuracies(make_task(["no", "yes"]), {"r3": 0.8, "softmax": 0.6})
    ((_, _, gain),) = gain_rows([replace(task, baseline="r3")])
    assert gain == pytest.approx(-0.2)


@pytest.mark.parametrize("leads", [True, False])
def test_gains_are_called_by_what_is_compared(leads: bool) -> None:
    """A baseline whose adjusted head others are compared with is drawn by it, whether it leads or not."""
    task = with_accuracies(make_task(["no", "yes"]), {"r3": 0.8, "softmax": 0.6})
    own = task.own_rows if leads else task.own_rows[::-1]
    base = own[0 if leads else 1].model
    task = replace(task, rows=own, baseline=base, reference="head_adjusted", reference_accuracy=0.5)
    tasks = [replace(task, name=name) for name in ("one", "two")]
    page = " ".join(render(make_report(tasks)).split())
    other = row_title(own[1 if leads else 0], task)
    assert f"What {other} gains over {base}, adjusted in mean per-class accuracy" in page


def test_a_report_of_which_nothing_was_resampled_speaks_of_no_intervals() -> None:
    task = make_task(class_names(3))
    rows = [
        replace(row, metrics=row.metrics.model_copy(update={"intervals": {}}), difference=None) for row in task.rows
    ]
    tasks = [replace(task, name=name, rows=rows) for name in ("one", "two")]
    page = " ".join(render(make_report(tasks)).split())
    for words in ("bootstrap", "p &lt; 0.05", "95 % interval"):
        assert words not in page, words
    assert "Dots, without intervals: nothing was resampled" in page


def test_mistakes_that_nobody_asked_for_are_counted_all_the_same() -> None:
    task = make_task(class_names(3))
    wrong = sum(count for true, predicted, count in task.main.metrics.confusion if true != predicted)
    page = render(make_report([replace(task, mistakes=())]))
    assert f"None of the {wrong} test images that {LEADING} gets wrong is shown: evaluate.mistakes is 0." in page


def test_models_stand_side_by_side_with_their_differences_to_the_baseline() -> None:
    task = with_accuracies(make_task(class_names(3)), {"r3": 0.801, "softmax": 0.66, "crl": 0.666})
    rows = comparison_rows(task, make_models(["label"]))
    assert [(model.text, model.below) for model, *_ in rows] == list(TITLES.items())
    assert [rule.text for _, rule, *_ in rows] == ["cluster-wise kNN", "softmax head", "softmax head"]
    assert [score.text for *_, score, _ in rows] == ["80.1", "66.0", "66.6"]
    low, high = task.main.metrics.intervals["mean_class_accuracy"]
    assert rows[0][2].below == f"{100 * low:.1f}\u00a0to\u00a0{100 * high:.1f}"
    differences = [(difference.text, difference.below) for *_, difference in rows]
    assert differences == [("+14.0*", "+12.0\u00a0to +16.0"), ("baseline", ""), ("+0.6", "−0.4\u00a0to +1.6")]
    html = render(make_report([task]))
    assert "Models side by side" in html
    assert "difference to softmax, points" in html
    assert 'href="#models-1"' in html


def test_one_model_alone_has_no_table_of_models() -> None:
    task = alone(make_task(class_names(3)))
    html = render(make_report([task], models=make_models(["label"])[:1]))
    assert "Models side by side" not in html
    assert "difference to" not in html
    assert 'href="#models-1"' not in html
    # With no other model the rule is told, not the model; beside it stands its next rule.
    assert "<span>sample-wise kNN: " in html
    assert LEADING not in html


def test_a_difference_that_was_not_measured_is_a_dash() -> None:
    task = make_task(class_names(3))
    rows = [replace(row, difference=None) for row in task.rows]
    found = comparison_rows(replace(task, rows=rows), make_models(["label"]))
    assert [difference.text for *_, difference in found] == ["–", "baseline", "–"]


def test_a_model_that_is_worse_has_a_negative_difference() -> None:
    task = make_task(class_names(3))
    rows = [replace(row, difference=Difference(-0.013, -0.023, -0.003, 0.01)) if row.own else row for row in task.rows]
    (*_, difference), *_ = comparison_rows(replace(task, rows=rows), make_models(["label"]))
    assert (difference.text, difference.below) == ("−1.3*", "−2.3\u00a0to −0.3")


def test_rounds_stand_in_a_table_and_a_training_alone_is_no_round() -> None:
    heading, rows = round_rows(make_rounds(["label"], number=2))
    assert heading == ["round", "iterations", "final loss", "validation: label, %"]
    assert [row[0] for row in rows] == ["0", "1", "2 (selected)"]
    assert [row[-1] for row in rows] == ["68.0", "77.0", "80.0"]
    heading, rows = round_rows([Round(0, [50, 100], [2.0, 1.0], validation={"label": 0.66}, selected=True)])
    assert heading == ["iterations", "final loss", "validation: label, %"]
    assert rows == [["100", "1", "66.0"]]


def test_each_model_has_its_training_and_a_link_to_it() -> None:
    html = render(make_report([make_task(class_names(3))]))
    for number, (name, title) in enumerate(TITLES.items(), start=1):
        assert f'<section id="training-{number}">' in html
        assert f'<a href="#training-{number}">{name}</a>' in html
        assert f"Training of {name} <small>{title}</small>" in html


def test_many_tasks_share_one_line_of_validation_and_begin_with_their_table() -> None:
    html = render(make_report([make_task(["no", "yes"], f"task{number}") for number in range(9)]))
    assert html.index("<h2>All tasks</h2>") < html.index('id="task-1"')
    assert 'class="result"' not in html
    for count, legend in ((3, "task2"), (14, "mean of 14 tasks")):
        picture = validation_curve(make_rounds([f"task{number}" for number in range(count)]))
        assert picture is not None
        assert legend in base64.b64decode(picture.address.partition(",")[2]).decode()


def test_the_same_content_gives_the_same_bytes_in_another_process() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from report_content import *; from longtail.report import render;"
        "sys.stdout.buffer.write(render(make_report([make_task(['a', 'b'])])).encode())"
    )
    command = [sys.executable, "-c", code, str(Path(__file__).parents[1] / "helpers")]
    other = subprocess.run(command, capture_output=True, check=True, env={**os.environ, "PYTHONHASHSEED": "1"}).stdout
    assert render(make_report([make_task(["a", "b"])])).encode() == other


def test_names_of_users_are_text_everywhere() -> None:
    task = make_task(NASTY, name="<b>label</b> $2$")
    html = render(make_report([task], title="<i>t</i>", notes=["<u>n</u>"], parameters={"<p>": {"</td>": "<x>"}}))
    for tag in ("<script", "<b>label", "<i>t", "<u>n", "<p>:", "<x>"):
        assert tag not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    drawn = [text for figure in figures(html) for text in ElementTree.fromstring(figure).itertext()]
    for name in ("$x_1$ costs $5", "西陣織の絹織物", "فستان", "a & b", "line break \ufffd\ufffd"):
        assert name in drawn
    html.encode()  # a lone surrogate would fail


def test_absent_parts_are_sentences() -> None:
    task = make_task(["a", "b", "c"], embedding=None, k_search=None, mistakes=[])
    models = [ModelReport(name, title, "nothing was trained", "head") for name, title in TITLES.items()]
    html = render(make_report([task], models=models, parameters={}))
    for sentence in (
        "No map of the embedding was made",
        "No k was searched",
        "evaluate.mistakes is 0",
        "there is no curve of the loss",
        "No parameters were recorded",
    ):
        assert sentence in html
    assert len(figures(html)) == FIGURES - 6


def test_figures_of_a_single_point_are_sentences() -> None:
    one = make_map(np.random.default_rng(0), 1)
    search = KSearch([KCurve("vote", [3], [0.5])], "vote", 3)
    task = make_task(["a", "b"], embedding=one, k_search=search)
    rounds = [Round(0, [1], [0.5], validation={"label": 0.5}, selected=True)]
    models = [ModelReport(name, "Softmax", "one training", "head", rounds) for name in TITLES]
    html = render(make_report([task], models=models))
    for sentence in (
        "fewer than two classes",
        "Only one k was tried: vote, k = 3",
        "No two steps of a training were logged",
    ):
        assert sentence in html
    assert len(figures(html)) == FIGURES - 6


def test_a_loss_without_hinges_is_drawn() -> None:
    with style():
        drawn = training_curves([Round(0), Round(1, iterations=[1, 2], loss=[2.0, 1.0])])
    assert drawn is not None
    assert training_curves([Round(0)]) is None


def test_what_the_rounds_started_from_is_not_drawn_beside_their_loss() -> None:
    start, only = (
        Round(0, [50, 100], [9.0, 8.0]),
        Round(1, [50, 100], [0.2, 0.1], {"between classes (g3)": [0.1, 0.05]}),
    )
    with style():
        drawn, without = training_curves([start, only]), training_curves([only])
        alone = training_curves([start])
    assert drawn == without
    assert alone is not None


def test_the_selected_round_is_marked() -> None:
    with style():
        drawn = validation_curve(make_rounds(["label"]))
    assert drawn is not None
    (text,) = figures(f'"{drawn.address}"')
    assert "the selected round" in text


def task_without_test_images() -> TaskReport:
    labels = np.full(4, -1)
    metrics = evaluate(labels, labels, classes=["a", "b"], train_counts=[3, 3])
    return make_task(["a", "b"], rows=[Row("r3", "head", metrics, own=True)], baseline="r3", **LIGHT)


def test_a_task_without_test_labels_has_no_metrics_but_renders() -> None:
    html = render(make_report([task_without_test_images()]))
    assert "No test image has a label" in html
    assert "no test image" in " ".join(figures(html))


def test_the_background_class_and_absent_classes_are_shown_as_such() -> None:
    labels, predictions = np.array([0, 0, 1, 3]), np.array([0, 3, 1, 3])
    classes, train = ["a", "b", "never tested", "background"], [9, 5, 2, 50]
    metrics = evaluate(labels, predictions, classes=classes, train_counts=train, background="background")
    task = make_task(
        classes,
        counts={"train": train},
        imbalance=measure(train[:3], classes[:3]),
        rows=[Row("r3", "head", metrics, own=True)],
        baseline="r3",
        background="background",
        **LIGHT,
    )
    html = render(make_report([task]))
    assert "the background class “background” count nowhere" in html
    assert "no test image" in " ".join(figures(html))
    assert [row.name for row in metrics.per_class] == classes[:3]


def test_the_best_shown_value_of_a_column_is_bold() -> None:
    table = metric_table(make_task(class_names(3)))
    for column in range(len(table.headings)):
        cells = [cells[column] for *_, cells in table.rows]
        best = max(float(cell.text) for cell in cells if cell.text != "–")
        assert [cell.best for cell in cells] == [cell.text != "–" and float(cell.text) == best for cell in cells]


@pytest.mark.parametrize("shown", [3, 12])
def test_mistakes_have_their_files_and_the_rule_of_their_choice(shown: int) -> None:
    task = make_task(class_names(3))
    wrong = sum(count for true, predicted, count in task.main.metrics.confusion if true != predicted)
    page = " ".join(render(make_report([replace(task, mistakes=task.mistakes[:shown])], seed=7)).split())
    assert f"{shown} of the {wrong} test images that {LEADING} gets wrong, drawn at random with the seed 7" in page
    for number in range(12):
        assert (f"test/{number}." in page.replace("<wbr>", "")) == (number < shown)


def test_all_mistakes_are_called_all() -> None:
    labels = np.array([0, 0, 1, 1, 1])
    metrics = evaluate(labels, np.array([0, 1, 1, 0, 1]), classes=["a", "b"], train_counts=[3, 3], resamples=5)
    task = make_task(["a", "b"], rows=[Row("r3", "head", metrics, own=True)], baseline="r3")
    page = render(make_report([replace(task, mistakes=task.mistakes[:2])]))
    assert "All 2 test images that softmax head gets wrong" in page


@pytest.mark.parametrize("name", ["0", "7", "80 to 90", "class a"])
def test_the_worst_class_does_not_read_like_a_number_or_an_interval(name: str) -> None:
    labels = np.array([0, 0, 1, 1])
    metrics = evaluate(labels, np.array([0, 1, 1, 1]), classes=[name, "b"], train_counts=[3, 3], resamples=5)
    task = make_task([name, "b"], rows=[Row("r3", "head", metrics, own=True)], baseline="r3", **LIGHT)
    ((*_, cells),) = metric_table(task).rows
    assert cells[-1].below == f"class “{name}”"


def test_minority_is_explained_where_it_is_used() -> None:
    page = " ".join(render(make_report([make_task(class_names(4))])).split())
    assert "whose share ζ of the training images is below 1/K = 1/4:" in page


@pytest.mark.parametrize("samples", [{}, {"train": 7340, "validation": 2160, "test": 3590}, {"train": 17970}])
def test_the_head_counts_the_images_that_are_used(samples: dict[str, int]) -> None:
    page = render(make_report([make_task(class_names(3), **LIGHT)], samples=samples))
    used = sum(samples.values())
    assert (f"<dd>{used:,} of 17,970 packed" in page) == (0 < used < 17970)
    assert ("train 7,340, validation 2,160, test 3,590" in page) == (len(samples) == 3)


def test_parameters_become_sections() -> None:
    sections = parameter_sections({"a": {"b": {"c": 1e-3}, "d": [1, 2], "e": {}}, "seed": 0, "on": True, "x": None})
    assert sections == [
        ("", [("seed", "0"), ("on", "yes"), ("x", "–")]),
        ("a", [("b.c", "0.001"), ("d", "1, 2"), ("e", "–")]),
    ]


def test_a_long_name_of_a_parameter_breaks_behind_points_and_underscores() -> None:
    parameters = {"train": {"optimisation": {"freeze_batch_norm": 0.05}, "method": {"kind": "class_rectification"}}}
    html = render(make_report([], models=[], parameters=parameters))
    assert "optimisation.<wbr>freeze_<wbr>batch_<wbr>norm</th><td>0.05</td>" in html
    assert "<td>class_<wbr>rectification</td>" in html


def test_each_training_is_a_section_of_the_parameters() -> None:
    sections = parameter_sections({"fits": {"a": {"batch": 2}, "b": {"method": {"kind": "softmax"}}}, "seed": 0})
    assert sections == [("", [("seed", "0")]), ("fits.a", [("batch", "2")]), ("fits.b", [("method.kind", "softmax")])]


def test_a_report_without_the_baseline_or_without_a_model_is_refused() -> None:
    with pytest.raises(ValueError, match="'nothing'"):
        make_task(["a", "b"], baseline="nothing")
    with pytest.raises(ValueError, match="is a model's own"):
        make_task(["a", "b"], rows=[])


@pytest.mark.parametrize(
    ("name", "shown"), [("abcdef", "abcdef"), ("abcdefg", "abcde…"), ("西陣織の", "西陣…"), ("a\n b", "a b")]
)
def test_long_names_are_cut_by_width(name: str, shown: str) -> None:
    assert short(name, 6) == shown
    assert columns(shown) <= 6


@pytest.mark.parametrize("rule", RULES)
def test_the_curve_of_the_rounds_says_by_which_rule_they_are_scored(rule: str) -> None:
    models = [replace(model, rule=rule) for model in make_models(["label"])]
    html = render(make_report([make_task(["a", "b"], **LIGHT)], models=models))
    assert f"Validation by the {rule_title(rule)} after each round decides" in html


def test_an_empty_run_renders() -> None:
    html = render(Report(title="t", dataset="d", images=0, seed=0, tasks=[], models=[]))
    assert "No parameters were recorded" in html


def test_importing_the_content_does_not_import_matplotlib() -> None:
    code = "import sys, longtail.metrics.classification, longtail.report; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert not {"matplotlib", "sklearn", "scipy", "torch"} & set(loaded)
