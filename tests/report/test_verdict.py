"""The report says in words what its figures mean: the verdict, and what its reader would ask next."""

from dataclasses import replace
from typing import Any

import pytest
from report_content import class_names, make_models, make_report, make_task

from longtail.artifacts.lineage import Lineage, extended
from longtail.metrics.classification import ClassMetrics
from longtail.metrics.significance import Difference
from longtail.report import Report, TaskReport, render
from longtail.report.content import Standing
from longtail.report.history import started_from
from longtail.report.verdict import remarks, verdict

LIGHT: dict[str, Any] = {"embedding": None, "k_search": None, "mistakes": []}
BASE = Standing("softmax", 0.851, (0.83, 0.872))
WORSE, BETTER = Difference(-0.013, -0.023, -0.003, 0.012), Difference(0.02, 0.01, 0.03, 0.001)
EVEN = Difference(-0.004, -0.015, 0.009, 0.62)


def over_tasks(*standings: Standing, tasks: int = 1) -> Report:
    return make_report([make_task(["a", "b"], f"task{t}", **LIGHT) for t in range(tasks)], means=standings)


@pytest.mark.parametrize(
    ("lead", "said", "not_said"),
    [
        (
            Standing("r3", 0.838, None, WORSE),
            "r3 does not beat the baseline softmax, it is worse: 83.8 % against 85.1 % in mean per-class accuracy on "
            "test (−1.3 points, 95 % interval −2.3 to −0.3), more than by chance (p = 0.012), as far as test images "
            "can tell of which a class has 2.",
            " may ",
        ),
        (
            Standing("r3", 0.871, None, BETTER),
            "r3 beats the baseline softmax: 87.1 % against 85.1 % in mean per-class accuracy on test (+2.0 points, "
            "95 % interval +1.0 to +3.0), which is more than chance (p = 0.001), as far as test images can tell of "
            "which a class has 2.",
            "not",
        ),
        (
            Standing("r3", 0.847, None, EVEN),
            "r3 does not beat the baseline softmax: 84.7 % against 85.1 % in mean per-class accuracy on test (−0.4 "
            "points, 95 % interval −1.5 to +0.9), which chance alone may explain (p = 0.62).",
            "worse",
        ),
        (
            Standing("r3", 0.9, None, Difference(0.049, None, None, 1.0)),
            "Whether r3 beats the baseline softmax is not known, since all test images are of one group: 90.0 % "
            "against 85.1 % in mean per-class accuracy on test (+4.9 points).",
            "chance",
        ),
        (Standing("r3", 0.9, None, None), "is not known, since nothing was resampled: 90.0 % against 85.1 %", "chance"),
    ],
    ids=["worse", "better", "even", "one group", "not resampled"],
)
def test_the_verdict_says_whether_the_leading_model_beats_the_baseline(
    lead: Standing, said: str, not_said: str
) -> None:
    report = over_tasks(lead, BASE)
    assert said in verdict(report)
    assert not_said not in verdict(report)
    page = render(report)
    assert page.index(verdict(report)) < page.index("<nav")


def test_where_the_baseline_leads_the_best_of_the_others_is_judged() -> None:
    others = [Standing("crl", 0.80, None, WORSE), Standing("r3", 0.847, None, EVEN)]
    assert verdict(over_tasks(BASE, *others)).startswith("r3 does not beat the baseline softmax: 84.7 % against 85.1 %")
    challenger = over_tasks(BASE, *others).challenger
    assert challenger is not None
    assert challenger.model == "r3"
    assert over_tasks(*others, BASE).challenger is None


@pytest.mark.parametrize("model", ["r3", "crl"])
def test_figures_show_the_model_beside_a_leading_baseline_that_the_verdict_is_about(model: str) -> None:
    task = make_task(["a", "b"], **LIGHT)
    rows = sorted(task.rows, key=lambda row: row.model != "softmax")
    leading = replace(task, rows=rows, challenger=model)
    assert leading.main.model == "softmax"
    assert leading.rival is not None
    assert leading.rival.model == model
    assert replace(task, challenger=model).rival == next(row for row in task.own_rows if row.model == "softmax")


def test_the_best_of_several_has_a_p_value_for_as_many() -> None:
    """Among eight equal to the baseline one is often beyond chance for itself."""
    chance = Difference(0.02, 0.001, 0.04, 0.03)
    assert "more than chance (p = 0.03)" in verdict(over_tasks(BASE, Standing("r3", 0.871, None, chance)))
    others = [Standing(f"m{i}", 0.8, None, EVEN) for i in range(7)]
    text = verdict(over_tasks(BASE, Standing("r3", 0.871, None, chance), *others))
    assert text.startswith("r3 does not beat the baseline softmax: 87.1 %")
    assert "95 % interval of it alone +0.1 to +4.0" in text
    assert "chance alone may explain (p = 0.24, for the best of 8)" in text


@pytest.mark.parametrize(
    ("p", "mean", "resamples", "said"),
    [
        (2 / 1001, 0.3, 1000, "Whether r3 beats the baseline softmax is not known: 87.1 %"),
        (2 / 1001, -0.3, 1000, "r3 does not beat the baseline softmax: 87.1 %"),
        (4 / 1001, 0.3, 1000, None),
        (2 / 1001, 0.3, 10_400, None),
    ],
)
def test_a_p_value_that_so_few_resamples_cannot_undercut_is_not_called_chance(
    p: float, mean: float, resamples: int, said: str | None
) -> None:
    """Of 1,000 resamples not one is beyond 0, and for the best of 26 that is p = 0.052."""
    found = Difference(mean, mean - 0.1, mean + 0.1, p)
    others = [Standing(f"m{i}", 0.8, None, EVEN) for i in range(25)]
    report = over_tasks(BASE, Standing("r3", 0.871, None, found), *others)
    text = verdict(replace(report, parameters={"evaluate": {"resamples": resamples}}))
    assert ("chance alone may explain" in text) == (said is None)
    few = "1000 resamples are too few to tell it from chance, for the best of 26; raise evaluate.resamples to 10400."
    assert said is None or (text.startswith(said) and few in text)


def test_a_baseline_that_leads_is_compared_by_its_adjusted_head() -> None:
    lead = replace(BASE, reference=0.866)
    text = verdict(over_tasks(lead, Standing("r3", 0.871, None, Difference(0.005, 0.001, 0.009, 0.01))))
    assert text.startswith("r3 beats the adjusted baseline softmax: 87.1 % against 86.6 % in")


def test_a_model_alone_and_tasks_without_labels_have_their_sentences() -> None:
    assert verdict(over_tasks(BASE)) == (
        "softmax reaches 85.1 % in mean per-class accuracy on test (95 % interval 83.0 to 87.2). "
        "It stands alone: no baseline says whether that is much."
    )
    assert verdict(over_tasks(Standing("r3", None))).startswith("No test image has a label")
    assert verdict(make_report([])).startswith("No test image has a label")


def with_difference(task: TaskReport, found: Difference) -> TaskReport:
    return replace(task, rows=[replace(row, difference=found) if row.model == "r3" else row for row in task.rows])


def test_several_tasks_are_judged_by_their_mean_and_counted_one_by_one() -> None:
    report = over_tasks(Standing("r3", 0.87, (0.86, 0.88), BETTER), BASE, tasks=10)
    found = [BETTER] * 3 + [WORSE] + [EVEN] * 6
    report = replace(report, tasks=[with_difference(t, d) for t, d in zip(report.tasks, found, strict=True)])
    text = verdict(report)
    assert "on test, the mean of 10 tasks (+2.0 points" in text
    assert "Task by task it is better in 3, worse in 1, and not to be told apart in 6 (p < 0.05 in each" in text
    page = render(report)
    assert "mean of 10 tasks" in page
    assert "95 % interval 86.0 to 88.0" in " ".join(page.split())


def test_a_model_below_its_own_start_is_told_of() -> None:
    models = [replace(one, after={"r3": "softmax", "crl": "r3"}.get(one.name)) for one in make_models(["label"])]
    below = Standing("r3", 0.73, (0.71, 0.75), WORSE)
    report = replace(over_tasks(below, BASE, Standing("crl", 0.74, (0.72, 0.76))), models=models)
    (found,) = [text for text in remarks(report) if "trained" in text]
    assert found.startswith("r3 is 12.1 points below softmax, from which it was trained: 73.0 % against 85.1 %")
    assert found in render(report)
    unknown = [replace(below, interval=None), replace(BASE, interval=None)]
    assert not [text for text in remarks(replace(report, means=unknown)) if "trained" in text], "nothing was resampled"
    touching = replace(report, means=[replace(below, accuracy=0.82, interval=(0.80, 0.84)), BASE])
    assert not [text for text in remarks(touching) if "trained" in text]


@pytest.mark.parametrize("tasks", [1, 12])
def test_a_rule_that_another_of_the_same_model_beats_is_told_of_once_a_model(tasks: int) -> None:
    made = []
    for number in range(tasks):
        task = make_task(class_names(3), f"task{number}", **LIGHT)
        lost = {("softmax", "head"): 0.70 - number / 100, ("softmax", "cluster_wise"): 0.82}
        rows = []
        for row in task.rows:
            score = lost.get((row.model, row.rule), 0.8)
            intervals = {"mean_class_accuracy": (score - 0.02, score + 0.02)}
            metrics = row.metrics.model_copy(update={"mean_class_accuracy": score, "intervals": intervals})
            rows.append(replace(row, metrics=metrics))
        made.append(replace(task, rows=rows))
    (found,) = [text for text in remarks(make_report(made)) if "few independent images" not in text]
    if tasks == 1:
        assert found == (
            "softmax: with the same embedding the cluster-wise kNN reaches 82.0 %, and the softmax head, by which the "
            "model is reported, 70.0 %."
        )
    else:
        assert "reaches 82.0 % on task11" in found
        assert found.endswith("59.0 %. So it is in 12 of 12 tasks.")


def indexed(*trainings: str) -> Lineage:
    """The lineage of an index of the last of trainings that follow one another."""
    origin = extended("start", {"prior": "random"}, {}, {}, Lineage(dataset="d"))
    for name in trainings:
        origin = extended("fit", {"name": name}, {}, {"previous": origin}, Lineage(dataset="d"))
    return extended("index", {}, {"model": origin}, {}, Lineage())


def test_a_model_started_from_the_nearest_that_the_report_has() -> None:
    models = {
        "c": indexed("a", "b", "c"),
        "a": indexed("a"),
        "start": indexed(),
        "other": indexed("a", "other"),
    }
    found = {name: started_from(name, models) for name in models}
    assert found == {"c": "a", "a": "start", "start": None, "other": "a"}
    assert started_from("c", {"c": models["c"], "other": models["other"]}) is None


@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("rounds", [1, 3])
def test_rounds_that_began_with_new_weights_started_from_none(fresh: bool, rounds: int) -> None:
    prior = extended("fit", {"name": "softmax"}, {}, {}, Lineage(dataset="d"))
    models, origin = {"softmax": extended("index", {}, {"model": prior}, {}, Lineage())}, prior
    for number in range(1, rounds + 1):
        table = extended("quintuplets", {}, {"model": origin}, {}, Lineage(dataset="d"))
        origin = extended("train", {"fresh": fresh}, {"previous": origin, "quintuplets": table}, {}, Lineage())
        models[f"r{number}"] = extended("index", {}, {"model": origin}, {}, Lineage())
    found = {name: started_from(name, models) for name in models}
    assert found["r1"] == (None if fresh else "softmax")
    assert all(found[f"r{number}"] == f"r{number - 1}" for number in range(2, rounds + 1))
    last = {name: models[name] for name in ("softmax", f"r{rounds}")}
    assert started_from(f"r{rounds}", last) == (None if fresh else "softmax")


@pytest.mark.parametrize(
    ("groups", "told"), [([40, 10, 12], None), ([40, 9, 2], "2 of c, 9 of b"), ([0, 40, 3], "3 of c")]
)
def test_a_verdict_on_few_independent_test_images_says_so(groups: list[int], told: str | None) -> None:
    """Of so few groups of a class, however large, the bootstrap calls differences significant that are chance."""
    task = make_task(["a", "b", "c"], "digit", **LIGHT)
    rows = []
    for row in task.rows:
        per_class = [
            ClassMetrics(name=name, train_count=9, support=40 * of, groups=of, precision=None, recall=None, f1=None)
            for name, of in zip("abc", groups, strict=True)
        ]
        rows.append(replace(row, metrics=row.metrics.model_copy(update={"per_class": per_class})))
    report = make_report([replace(task, rows=rows)], means=[Standing("r3", 0.871, None, BETTER), BASE])
    found = [text for text in remarks(report) if "few independent images" in text]
    assert len(found) == (told is not None)
    assert ("as far as test images can tell" in verdict(report)) == (told is not None)
    assert told is None or f"The test subset has few independent images: {told}." in found[0]
