"""Which table is nearest, and the ladder that follows from it."""

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.matrix import experiment_file
from longtail.advice.facts import ClassFacts, Facts, TaskFacts
from longtail.advice.ladder import ADJUSTED_STEP, BATCHES, PLAIN_STEP, STEPS, batch_for, beta_for, effective_ratio, plan
from longtail.advice.measured import FILE, Gain, Table, tables
from longtail.advice.nearest import Near, nearest
from longtail.data.imbalance import measure
from longtail.data.samplers import TaskSampler
from longtail.errors import DataError

LADDER = ("class-even sampling", "balanced softmax", "class-balanced softmax", "cRT")


def of(sizes: list[int], tasks: int = 1, side: int = 28) -> Facts:
    """Facts of tasks with so many training images a class."""
    names = [str(code) for code in range(len(sizes))]
    classes = [ClassFacts(name, size, 10, 20, 20, [1] * 20) for name, size in zip(names, sizes, strict=True)]
    found = [TaskFacts(f"task-{i}", classes, measure(sizes, names), 0.0, None) for i in range(tasks)]
    count = sum(sizes) + 30 * len(sizes)
    return Facts(count, count, (side, side, 1), "so", None, False, found, "pixels", None)


def near(**gains: Gain) -> Near:
    """A table that has these gains, `_` for a blank."""
    table = tables()[0]
    (name, task), *_ = table.tasks.items()
    rows = {f"{step.replace('_', ' ').replace('class ', 'class-')}, head": gain for step, gain in gains.items()}
    table = table.model_copy(update={"tasks": {name: task.model_copy(update={"gains": rows})}})
    return Near(0.0, table, {"task-0": name})


def gain(mean: float, *, significant: bool) -> Gain:
    return Gain(mean=mean, low=mean - 1, high=mean + 1, significant=significant)


def test_every_step_was_measured_in_a_table_and_every_table_has_the_plain_one() -> None:
    assert tables()
    for table in tables():
        assert "cross-entropy, head" in table.gains, table.name
    for step in LADDER:
        assert any(f"{step}, head" in table.gains for table in tables()), step
    assert FILE.stat().st_size < 100_000


@pytest.mark.parametrize("name", ["digits_toolbox", "cifar10_long_tail"])
def test_a_table_is_nearest_to_data_like_its_own(name: str) -> None:
    own = next(table for table in tables() if table.name == name)
    (task,) = own.tasks.values()
    # All classes but the largest and the smallest share what these leave.
    rare = 20
    most = round(rare * task.IR)
    middle = (task.train - rare - most) // (task.classes - 2)
    found = nearest(of([most, *[middle] * (task.classes - 2), rare], side=own.side), own.pretrained, tables())
    assert found[0].table.name == name
    assert found[0].distance < 0.1
    assert [one.distance for one in found] == sorted(one.distance for one in found)


def test_ten_times_the_images_are_a_distance_of_1_and_pretraining_is_another() -> None:
    table = tables()[0]
    (task,) = table.tasks.values()
    share = task.train / (task.IR + task.classes - 1)
    sizes = [round(100 * share * task.IR), *[round(100 * share)] * (task.classes - 1)]
    (one,) = nearest(of(sizes, side=table.side), table.pretrained, [table])
    (other,) = nearest(of(sizes, side=table.side), not table.pretrained, [table])
    assert one.distance == pytest.approx(2, abs=0.05)
    assert one.far
    assert other.distance == pytest.approx(one.distance + 1)


@pytest.mark.parametrize(
    ("gains", "best"),
    [
        ({}, ADJUSTED_STEP),
        ({"balanced_softmax": gain(3, significant=False)}, ADJUSTED_STEP),
        ({"balanced_softmax": gain(3, significant=True)}, "balanced softmax"),
        ({"balanced_softmax": gain(3, significant=True), "class_even_sampling": gain(9, significant=True)}, LADDER[0]),
        ({"cRT": gain(-3, significant=True)}, ADJUSTED_STEP),
    ],
)
def test_the_best_step_is_the_largest_gain_beyond_chance(gains: dict[str, Gain], best: str) -> None:
    found = plan(of([500, 20]), near(**gains))
    assert found.expected == best
    left_out = [step.name for step in found.steps if not step.tried]
    assert left_out == (["cRT"] if "cRT" in gains else [])


def test_many_tasks_try_balanced_softmax_before_mini_batches_that_cannot_be_even() -> None:
    one, table = of([500, 20]), tables()[0]
    first = next(iter(table.tasks))
    many = of([500, 20], tasks=4)
    found = Near(0.0, table, {task.name: first for task in many.tasks})
    assert [step.name for step in plan(one, near()).steps] == [PLAIN_STEP, ADJUSTED_STEP, *LADDER]
    assert [step.name for step in plan(many, found).steps][2:4] == ["balanced softmax", "class-even sampling"]


@pytest.mark.parametrize("tasks", [1, 4, 9])
def test_how_often_an_image_is_seen_counts_all_tasks_and_no_empty_class(tasks: int) -> None:
    """As TaskSampler draws them: the tasks share the image passes."""
    facts = of([500, 20, 0], tasks=tasks)
    table = tables()[0]
    found = plan(facts, Near(0.0, table, {task.name: next(iter(table.tasks)) for task in facts.tasks}))
    (said,) = [step.how for step in found.steps if step.name == "class-even sampling"]
    rng = np.random.default_rng(0)
    labels = {task.name: rng.permutation(np.repeat([0, 1], [500, 20])) for task in facts.tasks}
    sampler = TaskSampler(labels, found.batch, scheme="class_even", seed=0, together=tasks > 8, steps=10**4)
    drawn, passed, step = 0, 0, 0
    while passed < found.image_passes / 10:
        positions = sampler.positions(step)
        drawn += int((labels["task-0"][positions["task-0"]] == 1).sum()) if "task-0" in positions else 0
        passed += sum(map(len, positions.values())) if tasks <= 8 else found.batch
        step += 1
    told = int(said.partition("is seen about ")[2].partition(" times")[0].replace(",", ""))
    assert told == pytest.approx(10 * drawn / 20, rel=0.25)
    assert ("in turn" in said) == (tasks > 8)


def test_even_classes_are_done_after_the_first_step() -> None:
    found = plan(of([100, 80]), near())
    assert found.even
    assert found.expected == PLAIN_STEP
    assert [step.name for step in found.steps] == [PLAIN_STEP]


@given(st.integers(0, 10**7))
def test_a_mini_batch_is_a_power_of_two_and_leaves_a_pass_its_steps(train: int) -> None:
    batch = batch_for(train)
    assert math.log2(batch).is_integer()
    assert BATCHES[0] <= batch <= BATCHES[1]
    assert batch == BATCHES[0] or train // batch >= STEPS


def test_beta_grows_with_the_largest_class_and_weighs_no_more_than_the_imbalance() -> None:
    betas = [beta_for(largest) for largest in (0, 1, 20, 400, 1000, 4500, 10**6)]
    assert betas[-3:] == [0.999, 0.9999, 0.9999]  # those of docs/results.md
    assert all(a <= b for a, b in pairwise(betas))
    assert betas[0] > 0
    for sizes in ([1000, 10], [5, 1], [10**5, 3]):
        task = of(sizes).tasks[0]
        assert 1 < effective_ratio(task, beta_for(max(sizes))) <= task.ratio


def test_a_file_that_holds_no_tables_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "measured.yaml"
    file.write_text("tables: [{name: a}]", encoding="utf-8")
    with pytest.raises(DataError, match="holds no measured tables; write it with"):
        tables(file)


def test_tables_come_from_the_experiments_of_their_names() -> None:
    def told(table: Table) -> bool:
        return experiment_file(table.name).is_file() and table.command == f"make experiment NAME={table.name}"

    assert all(map(told, tables()))
