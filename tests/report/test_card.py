"""The model card: every part there, whatever the data lack, bounded for any number of classes and tasks."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from report_content import class_names, make_report, make_task

from longtail.data.preprocessing import Preprocessing
from longtail.metrics.calibration import calibration
from longtail.metrics.scores import Shots, class_sets
from longtail.metrics.significance import Difference
from longtail.report import Report
from longtail.report.card import FEW, MOST_CLASSES, model_card
from longtail.report.content import Standing
from longtail.report.limits import MANY_TASKS
from longtail.report.served import ServedModel, ServedTask
from longtail.report.tables import percent, points

ADDRESS = "models:/longtail-digits@challenger"


def served(tasks: Sequence[str], **changes: Any) -> ServedModel:
    groups = class_sets([50, 9], np.ones(2, np.bool_), Shots())
    block = np.array([[2.0, 0.0], [0.0, 1.0], [1.0, 0.0]]), np.array([0, 1, 1])
    measured = calibration(lambda: iter([block]), 1.0, groups)
    task = ServedTask(0.25, 0.08, measured, 0.5, 0.0099, 2000)
    how = Preprocessing(image_shape=(28, 28, 1), fit="crop", white=4095.0, jpeg_quality=90)
    content: dict[str, Any] = {
        "features": "network",
        "backbone": "small_cnn",
        "embedding": 64,
        "image_shape": (28, 28, 1),
        "preprocessing": how,
        "tasks": {name: replace(task, **changes.pop("task", {})) for name in tasks},
    }
    return ServedModel(**content | changes)


def card(report: Report, **changes: Any) -> str:
    return model_card(report, served([task.name for task in report.tasks], **changes), ADDRESS)


def tables(text: str) -> list[list[str]]:
    return [block.splitlines() for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)]


def test_it_says_what_the_report_says() -> None:
    report = make_report([make_task(class_names(4))], parameters={"start": {"prior": "imagenet"}})
    text = card(report)
    task, row = report.tasks[0], report.tasks[0].main
    assert text.startswith("# Model card: LMLE, answered by the cluster-wise kNN\n")
    low, high = row.metrics.intervals["mean_class_accuracy"]
    assert (
        f"| r3 | cluster-wise kNN | {percent(row.metrics.mean_class_accuracy)} | {percent(low)} to {percent(high)} |"
        in text
    )
    assert row.difference is not None
    assert f"{points(row.difference.mean)} ({points(row.difference.low)} to {points(row.difference.high)})" in text
    for of_class, code in zip(row.metrics.per_class, range(4), strict=True):
        counts = " | ".join(f"{task.counts[name][code]:,}" for name in ("train", "validation", "test"))
        assert f"| {of_class.name} | {counts} | {percent(of_class.recall)} |" in text
    for part in (
        "cut at the middle to 28×28 pixels (bicubic), in grey of more than 8 bits 4095 is white",
        "kept as JPEG of quality 90",
        "temperature 0.25, of which 8.0 % are given to all classes alike; fitted on\nvalidation.",
        "On 3 test images they are off by ",
        "farther than 0.5 from every cluster",
        "as the 2,000 of validation 0.99 % are flagged by construction",
        "longtail predict FILE… | DIR --index artifacts/index/r3",
        f'load_model("{ADDRESS}")',
        "| began with | ImageNet weights |",
    ):
        assert part in text, part


@pytest.mark.parametrize("samples", [{}, {"train": 7340, "validation": 2160, "test": 3590}, {"train": 17970}])
def test_it_counts_the_images_that_are_used(samples: dict[str, int]) -> None:
    text = card(make_report([make_task(class_names(3))], samples=samples))
    used = sum(samples.values())
    assert (f"{used:,} images of 17,970 packed: train 7,340" in text) == (0 < used < 17970)
    assert ("\n17,970 images" in text) == (used in (0, 17970))


def test_without_resampling_it_promises_no_intervals() -> None:
    task = make_task(class_names(3))
    rows = [
        replace(row, metrics=row.metrics.model_copy(update={"intervals": {}}), difference=None) for row in task.rows
    ]
    text = card(make_report([replace(task, rows=rows)]))
    assert "in percent; nothing was resampled, so there are no intervals." in text
    assert "bootstrap" not in text.split("## What it reaches")[1].split("##")[0]


@pytest.mark.parametrize("classes", [2, MOST_CLASSES, MOST_CLASSES + 1, 300])
def test_of_many_classes_it_shows_the_largest_and_the_smallest(classes: int) -> None:
    text = card(make_report([make_task(class_names(classes))]))
    (of_classes,) = [table for table in tables(text) if table[0].startswith("| class |")]
    assert len(of_classes) == 2 + min(classes, MOST_CLASSES)
    left_out = re.search(r"The largest and the smallest; (\d+) classes between them are left out", text)
    assert (int(left_out[1]) if left_out else 0) == max(0, classes - MOST_CLASSES)
    assert len(text) < 12_000


def test_of_many_tasks_it_shows_a_few() -> None:
    tasks = [make_task(class_names(3), f"task{number}", number) for number in range(MANY_TASKS + 4)]
    report = make_report(tasks)
    text = card(report)
    assert 0 < text.count("classes\n\n| class |") <= MANY_TASKS
    assert len(text) < 40_000


NAMES = [
    "a|b",
    "<script>alert(1)</script>",
    "*bold*\n# heading",
    "[link](http://x)",
    "`code`",
    "\ud800",
    "  ",
    "x" * 500,
]


def test_names_of_users_are_no_marks_and_break_no_table() -> None:
    task = make_task(NAMES)
    text = card(make_report([task], dataset="a | b\n# c"))
    text.encode("utf-8")
    for table in tables(text):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table}) == 1, table
    assert "<script>" not in text
    assert max(map(len, text.splitlines())) < 400
    assert "\n# heading" not in text
    assert "\n# c" not in text


def test_what_the_data_lack_is_said() -> None:
    counts = {"train": [90, 40, 0, 5], "validation": [9, 4, 0, 1], "test": [30, 30, 30, 0]}
    task = make_task(class_names(4), counts=counts, background="class a0")
    groups = zip(task.main.metrics.per_class, [20, FEW, FEW - 1, 0], strict=True)
    metrics = task.main.metrics.model_copy(
        update={"per_class": [one.model_copy(update={"groups": of}) for one, of in groups]}
    )
    task = replace(task, rows=[replace(row, metrics=metrics) if row is task.main else row for row in task.rows])
    text = card(make_report([task]), task={"distance": None, "calibration": None}, preprocessing=None)
    assert "- label: trained without a single image of class c2." in text
    assert "- label: nothing is known of class d3: no test image." in text
    assert f"- label: little is known of class c2: fewer than {FEW} independent test images each, those of a" in text
    assert "- label: no image is flagged as unlike anything trained on, since no validation image had a label." in text
    assert "No test image has a label, so it is not known how good they are." in text
    assert "- label: the background class “class a0” counts in no figure." in text
    assert "the model takes arrays, no files." in text


def test_a_difference_of_one_group_has_no_interval() -> None:
    means = [Standing("r3", 0.9, None, Difference(0.049, None, None, 1.0)), Standing("softmax", 0.851)]
    text = card(make_report([make_task(class_names(3), f"task{number}") for number in range(2)], means=means))
    assert "| r3 | – | 90.0 | – | +4.9, p = 1 |" in text


@pytest.mark.parametrize(("embedding", "says"), [(64, "64 numbers"), (None, "the backbone's features")])
def test_the_embedding_may_be_the_backbones_features(embedding: int | None, says: str) -> None:
    text = card(make_report([make_task(class_names(3))]), embedding=embedding)
    assert f"| embedding | {says}, on the unit sphere |" in text


def test_the_same_content_gives_the_same_bytes_and_no_blank_tables() -> None:
    report = make_report([make_task(class_names(3)), make_task(class_names(2), "kind", 1)])
    text = card(report)
    assert text == card(report)
    assert "\n\n\n" not in text
    assert text.endswith("```\n")
    for table in tables(text):
        assert len(table) > 2, table
