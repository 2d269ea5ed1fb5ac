"""The section on calibration and the operating point: its tables, its figure, and what is said where there is none."""

import base64
import math
import re
from dataclasses import replace
from typing import Any

import pytest
from report_content import class_names, make_models, make_report, make_task

from longtail.report import TaskReport, render
from longtail.report.content import Row
from longtail.report.figures import style
from longtail.report.limits import MANY_CLASSES, WORST
from longtail.report.operating_point import Calibrated, OperatingPoint
from longtail.report.operating_tables import calibration_table, class_set_table, prior_table, set_table
from longtail.report.reliability_figure import PANELS, reliability
from longtail.report.scalars import row_scalars

NONE = "There are no probabilities to judge"


def made(K: int = 4, **changes: Any) -> tuple[TaskReport, OperatingPoint]:
    task = make_task(class_names(K), embedding=None, k_search=None, mistakes=[])
    assert task.operating is not None
    operating = replace(task.operating, **changes)
    return replace(task, operating=operating), operating


def section(task: TaskReport) -> str:
    page = re.sub(r'base64,[^"]+', "", render(make_report([task])))
    return page[page.index('id="calibration-1"') : page.index('id="confusion-1"')]


def test_each_error_stands_before_and_after_the_temperature() -> None:
    task, operating = made()
    table = calibration_table(task, operating)
    assert table is not None
    headings, rows = table
    assert headings[:3] == ["temperature", "ECE, %", "classwise ECE, %"]
    first = operating.calibration[0]
    assert first.before is not None
    assert first.after is not None
    assert rows[0][0] == "softmax (softmax head)"
    assert rows[0][1][0].text == "1.50"
    before, after = (float(part) for part in rows[0][1][1].text.split("\u00a0→\u00a0"))
    assert before == pytest.approx(100 * first.before.ece, rel=0.01)
    assert after == pytest.approx(100 * first.after.ece, rel=0.01)


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_groups_of_answers_have_columns_only_where_there_are_several(groups: int) -> None:
    task, operating = made()
    absent = dict.fromkeys(("few_ece", "medium_ece")[: 3 - groups])
    present = dict.fromkeys(("many_ece", "medium_ece", "few_ece")[:groups], 0.1)
    one = operating.calibration[0]
    assert one.before is not None
    measured = one.before.model_copy(update={**present, **absent})
    table = calibration_table(task, replace(operating, calibration=[replace(one, before=measured)]))
    assert table is not None
    assert sum("shot answers" in heading for heading in table[0]) == (groups if groups > 1 else 0)


def test_the_best_accuracy_under_each_prior_is_bold_and_a_told_head_is_named_so() -> None:
    task, operating = made()
    table = prior_table(task, operating)
    assert table is not None
    headings, rows = table
    assert headings[0] == "forward 50, %"
    assert {title for title, _ in rows} >= {"softmax (softmax head, told the prior)", "softmax (softmax head)"}
    for column in range(len(headings)):
        cells = [cells[column] for _, cells in rows]
        best = max(float(cell.text) for cell in cells)
        assert [cell.best for cell in cells] == [float(cell.text) == best for cell in cells]


def test_prediction_sets_say_which_class_they_cover_least() -> None:
    task, operating = made(40)
    table = set_table(task, operating)
    assert table is not None
    _, rows = table
    assert [title for title, _ in rows[:3]] == [
        "softmax (one threshold)",
        "softmax (a threshold a class)",
        "softmax (prevalence-adjusted)",
    ]
    sets = operating.sets["softmax"]["marginal"]
    assert f"class “{sets.worst_classes(1)[0].name}”" in {cell.below for cell in rows[0][1]}
    assert rows[1][1][-1].text == str(sum(count < 9 for count in operating.validation))


@pytest.mark.parametrize("K", [5, MANY_CLASSES, MANY_CLASSES + 1, 400])
def test_the_classes_of_the_sets_are_all_of_a_few_and_the_worst_of_many(K: int) -> None:
    task, operating = made(K)
    table = class_set_table(task, operating)
    assert table is not None
    tested = sum(row.support > 0 for row in operating.sets["softmax"]["marginal"].per_class)
    assert len(table[1]) == (K if K <= MANY_CLASSES else min(WORST, tested))


def test_without_a_trained_classifier_the_section_says_so_and_shows_the_priors() -> None:
    task, _ = made(calibration=[], sets={})
    text = section(task)
    assert NONE in text
    assert "forward 50" in text
    assert "prediction sets" not in text
    nothing = section(replace(task, operating=None))
    assert NONE in nothing
    assert "<table" not in nothing


def test_a_background_class_counts_in_no_ratio_of_the_validation_images() -> None:
    task, operating = made(3)
    operating = replace(operating, validation=[500, 40, 10])
    assert "on the 550 labelled validation images" in section(replace(task, operating=operating))
    ground = replace(task, operating=operating, background=task.classes[0])
    assert "on the 50 labelled validation images" in section(ground)
    assert "the largest 4 times as often as the smallest" in section(ground)


def drawn(task: TaskReport) -> str:
    with style():
        picture = reliability(task)
    assert picture is not None
    return base64.b64decode(picture.address.partition(",")[2]).decode()


def test_the_figure_has_a_panel_a_model_by_its_own_rule_or_else_by_its_head() -> None:
    task, _ = made()
    text = drawn(task)
    assert text.count(">softmax (softmax head)<") == text.count(">crl (softmax head)<") == 1
    assert "log prior" not in text
    rows = [replace(row, rule="head_adjusted") if row.model == "crl" and row.own else row for row in task.rows]
    adjusted = drawn(replace(task, rows=rows))
    assert ">crl (softmax head, less the<" in adjusted
    assert ">log prior)<" in adjusted


@pytest.mark.parametrize("models", [1, 2, 3, 4, 7, PANELS, PANELS + 4])
def test_the_figure_holds_any_number_of_models(models: int) -> None:
    task, operating = made()
    names = [f"m{place}" for place in range(models)]
    one = operating.calibration[0]
    metrics = task.main.metrics
    rows = [Row(name, "head", metrics, own=True) for name in names]
    calibrated = [Calibrated(name, "head", 1.5, one.before, one.after) for name in names]
    many = replace(task, rows=rows, baseline="m0", operating=replace(operating, calibration=calibrated))
    shown = drawn(many).count(">right, %<")
    assert shown == math.ceil(min(models, PANELS) / 3)


def test_one_model_alone_is_not_named() -> None:
    task, operating = made()
    rows = [row for row in task.rows if row.model == "softmax"]
    of = {"calibration": operating.calibration[:2], "under_priors": [], "sets": {"softmax": operating.sets["softmax"]}}
    alone = replace(task, rows=rows, operating=replace(operating, **of))
    text = render(make_report([alone], models=make_models(["label"])[1:2]))
    assert '<th scope="row">one threshold</th>' in text
    assert "softmax (one threshold)" not in text


def test_what_mlflow_gets_has_every_figure_of_the_section() -> None:
    task, operating = made()
    scalars = row_scalars(make_report([task]))
    for one in operating.calibration:
        assert one.before is not None
        assert scalars[f"{task.name}/{one.model}/{one.rule}/ece"] == one.before.ece
    for shifted in operating.under_priors:
        assert scalars[f"{task.name}/{shifted.model}/{shifted.key}/accuracy_even"] == shifted.accuracy["even"]
    for model, kinds in operating.sets.items():
        for kind, sets in kinds.items():
            assert scalars[f"{task.name}/{model}/sets_{kind}/mean_class_coverage"] == sets.mean_class_coverage
    assert all(math.isfinite(value) and re.fullmatch(r"[\w./-]+", name) for name, value in scalars.items())
    without = make_report([replace(task, operating=None)])
    assert not [name for name in row_scalars(without) if name.endswith("/ece")]
